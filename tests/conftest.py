"What several tests need: the project's files in a folder of their own, and one forced reproduction of them."
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kickstarter_predictor.scratch import scratch_clone

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data with real campaigns here")


def call(*command, cwd, check=True, env=None, stdin=None):
    "Run `command` in `cwd` as a user would, this Python's environment first on the path."
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=cwd, env={**os.environ, "PATH": path, "PYTHONPATH": "", **(env or {})}, input=stdin, capture_output=True, text=True)
    if check and done.returncode:
        raise AssertionError(f"{command} exited with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}")
    return done


@pytest.fixture
def copy(tmp_path):
    "The checkout as it is, uncommitted work and all, as a clone of its own."
    with scratch_clone(ROOT, as_it_is=True) as clone:
        yield clone


@pytest.fixture(scope="session")
def reproduced():
    "A clone of what is committed, reproduced by force: with artifacts/, reports/ and a dvc.lock of its own."
    with scratch_clone(ROOT, as_it_is=False) as clone:
        call("dvc", "repro", "--force", cwd=clone)
        yield clone
        shutil.rmtree(clone / ".dvc" / "cache", ignore_errors=True)
