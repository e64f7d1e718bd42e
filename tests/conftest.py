"What several tests need: the project's files in a folder of their own, one forced reproduction of them, and servers that hold objects."
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from kickstarter_predictor.acquire import s3_client
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


KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "tested-secret", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


class S3(NamedTuple):
    "An S3 server on loopback that checks signatures; its one user is that of KEYS."
    port: int
    name: str

    @property
    def url(self): return f"http://127.0.0.1:{self.port}"

    @property
    def client(self): return s3_client(self.url)


def missing(why):
    if os.environ.get("REQUIRE_SERVICES"): pytest.fail(why)
    pytest.skip(why)


def free_ports(n):
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in taken]
    for s in taken: s.close()
    return ports


def program(name):
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return found or missing(f"no program {name} here: it comes with requirements.lock")


def started(name, port, command, folder):
    "The S3 server that `command` runs, once it answers; stopped, if it did not answer, with what it said."
    log = open(folder / "log", "wb")
    server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "HOME": str(folder)})
    s3, end = S3(port, name), time.monotonic() + 60
    while True:
        try: return server, (s3.client.list_buckets(), s3)[1]
        except Exception as e:
            if time.monotonic() > end or server.poll() is not None:
                server.kill()
                missing(f"{name} did not start ({e}): {(folder / 'log').read_text()[-500:]}")
        time.sleep(0.05)


def rclone_command(port, folder):
    return [program("rclone"), "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEYS['AWS_ACCESS_KEY_ID']},{KEYS['AWS_SECRET_ACCESS_KEY']}", "--vfs-cache-mode", "off"]


@pytest.fixture(scope="session", autouse=True)
def keys():
    "The credentials of the servers, in the environment as the usual chain finds them; none of the person who runs the tests."
    with pytest.MonkeyPatch.context() as patch:
        for name in [k for k in os.environ if k.startswith("AWS_")]: patch.delenv(name)
        for name, value in KEYS.items(): patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def rclone(tmp_path_factory, keys):
    folder, (port,) = tmp_path_factory.mktemp("rclone"), free_ports(1)
    (folder / "s3").mkdir()
    server, s3 = started("rclone", port, rclone_command(port, folder / "s3"), folder)
    yield s3
    server.kill()
    server.wait()


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory, keys):
    folder, ports = tmp_path_factory.mktemp("seaweed"), free_ports(9)
    user = {"name": "tester", "credentials": [{"accessKey": KEYS["AWS_ACCESS_KEY_ID"], "secretKey": KEYS["AWS_SECRET_ACCESS_KEY"]}], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [user]}))
    names = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc"]
    options = [f"-{name}={port}" for name, port in zip(names, ports)]
    command = [program("weed"), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", f"-s3.config={folder / 's3.json'}", "-s3.port.lance=0", "-s3.port.iceberg=0",
               "-master.volumeSizeLimitMB=64", "-volume.max=500", "-master.telemetry=false", *options]
    server, s3 = started("SeaweedFS", ports[6], command, folder)
    yield s3
    server.kill()
    server.wait()


@pytest.fixture(params=["rclone", "seaweed"])
def s3(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def bucket(s3, request):
    "A new bucket of `s3`, by its name."
    name = f"b{abs(hash(request.node.nodeid)) % 10**12}"
    s3.client.create_bucket(Bucket=name)
    return name
