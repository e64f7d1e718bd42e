"S3 servers on loopback, and credentials for them."
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from kickstarter_predictor.sources import s3_client

from .project import free_ports, missing

KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "tested-secret", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}


class S3(NamedTuple):
    "An S3 server on loopback that checks signatures; its one user is that of KEYS."
    port: int
    name: str

    @property
    def url(self): return f"http://127.0.0.1:{self.port}"

    @property
    def client(self): return s3_client(self.url)


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
                missing(f"{name} did not start ({e}): {(folder / 'log').read_text(encoding='utf-8')[-500:]}")
        time.sleep(0.05)


def rclone_command(port, folder):
    return [program("rclone"), "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEYS['AWS_ACCESS_KEY_ID']},{KEYS['AWS_SECRET_ACCESS_KEY']}", "--vfs-cache-mode", "off"]


@pytest.fixture(scope="session", autouse=True)
def keys(tmp_path_factory):
    "The credentials of the servers, in the environment as the usual chain finds them; none of the person who runs the tests."
    with pytest.MonkeyPatch.context() as patch:
        for name in [k for k in os.environ if k.startswith("AWS_")]: patch.delenv(name)
        empty = tmp_path_factory.mktemp("aws") / "config"
        empty.touch()
        for name, value in (KEYS | {"AWS_CONFIG_FILE": str(empty), "AWS_SHARED_CREDENTIALS_FILE": str(empty)}).items(): patch.setenv(name, value)
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
    (folder / "s3.json").write_text(json.dumps({"identities": [user]}), encoding="utf-8")
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
