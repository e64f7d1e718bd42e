"The project's files and commands, as tests use them."
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data with real campaigns here")
os.environ["DVC_NO_ANALYTICS"] = "1"  # also in repositories that tests make: DVC would leave its reports in the temporary folder


def call(*command, cwd, check=True, env=None, stdin=None):
    "Run `command` in `cwd` as a user would, this Python's environment first on the path."
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=cwd, env={**os.environ, "PATH": path, "PYTHONPATH": "", **(env or {})}, input=stdin, capture_output=True, text=True, encoding="utf-8")
    if check and done.returncode:
        raise AssertionError(f"{command} exited with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}")
    return done


def git(*args, cwd): return call("git", "-c", "user.name=t", "-c", "user.email=t@t", *args, cwd=cwd).stdout


def missing(why):
    if os.environ.get("REQUIRE_SERVICES"): pytest.fail(why)
    pytest.skip(why)


def free_ports(n):
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in taken]
    for s in taken: s.close()
    return ports
