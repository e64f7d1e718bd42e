"What several tests need: the project's files in a folder of their own, and one forced reproduction of them."
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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


# Whole runs of the pipeline take minutes and are mostly one process waiting for another. The ones that the collected tests ask for start at once,
# two at a time, and the tests that need them come last.
def _reproduce(folder: Path):
    with scratch_clone(ROOT, as_it_is=False) as clone:
        call("dvc", "repro", "--force", cwd=clone)
        shutil.move(clone, folder / "reproduced")
    return folder / "reproduced"


def _verify(folder: Path):
    return call("python", "-m", "kickstarter_predictor.scratch", "verify", "--lock", str(folder / "dvc.lock"), cwd=ROOT).stdout, folder / "dvc.lock"


def _on_real_campaigns(folder: Path):
    return folder / "real", call("make", "-s", "run", f"DATA={SHARED}/scraped_2017_2024.json.gz", f"OUT={folder / 'real'}", cwd=ROOT).stdout


LONG = {"on_real_campaigns": _on_real_campaigns, "reproduced": _reproduce, "verified": _verify}


def needed_by(item) -> list[str]:
    skipped = any(m.args[0] for m in item.iter_markers("skipif"))
    return [] if skipped else [name for name in LONG if name in item.fixturenames]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: max((1 + list(LONG).index(name) for name in needed_by(item)), default=0))


@pytest.fixture(scope="session", autouse=True)
def long_runs(request, tmp_path_factory):
    wanted = {name for item in request.session.items for name in needed_by(item)}
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(LONG[name], tmp_path_factory.mktemp(name)) for name in LONG if name in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def reproduced(long_runs):
    "A clone of what is committed, reproduced by force: with artifacts/, reports/ and a dvc.lock of its own."
    return long_runs["reproduced"].result()


@pytest.fixture(scope="session")
def verified(long_runs):
    "What `make verify` printed, and the dvc.lock of its run."
    return long_runs["verified"].result()


@pytest.fixture(scope="session")
def on_real_campaigns(long_runs):
    "(the folder of results, what was printed) of `make run` on the real campaigns of a crawl."
    return long_runs["on_real_campaigns"].result()
