"What several tests need: the project's files in a folder of their own, one forced reproduction of them, and servers that hold objects."
import gzip
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
import yaml
from browser import FLAGS, need
from flaky import Site
from hostile import snapshot
from servers import MariaDB, PostgreSQL

from kickstarter_predictor.acquire import s3_client
from kickstarter_predictor.scratch import scratch_clone

ROOT = Path(__file__).parents[1]
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


@pytest.fixture
def copy(tmp_path):
    "The checkout as it is, uncommitted work and all, as a clone of its own."
    with scratch_clone(ROOT, as_it_is=True) as clone:
        yield clone


# Whole runs of the pipeline take minutes and are mostly one process waiting for another. The ones that the collected tests ask for start at once,
# two at a time, and the tests that need them come last.
def _reproduce(folder: Path):
    with scratch_clone(ROOT, as_it_is=False) as clone:
        shutil.copy(ROOT / "tests" / "support" / "sitecustomize.py", clone)  # which notes what the stages open
        call("dvc", "repro", "--force", cwd=clone)
        (clone / "sitecustomize.py").unlink()
        shutil.move(clone.parent / "opened", folder / "opened")
        shutil.move(clone, folder / "reproduced")
    return folder / "reproduced"


def _verify(folder: Path):
    return call("python", "-m", "kickstarter_predictor.scratch", "verify", "--lock", str(folder / "dvc.lock"), cwd=ROOT).stdout, folder / "dvc.lock"


def _on_real_campaigns(folder: Path):
    return folder / "real", call("make", "-s", "run", f"DATA={SHARED}/scraped_2017_2024.json.gz", f"OUT={folder / 'real'}", cwd=ROOT).stdout


def _on_hostile_campaigns(folder: Path):
    "Less of everything, for what is looked at is how it is shown."
    less = {"tune": {"trials": 1, "families": ["logistic regression", "XGBoost"]}, "evaluate": {"resamples": 20, "curve": [0.5]}, "population": {"trees": 20, "copies": 1, "epochs": 2},
            "outcomes": {"visitors": 90}, "experiment": {"trials": 100}, "monitor": {"trials": 100}}
    with scratch_clone(ROOT, as_it_is=True) as clone:
        params = yaml.safe_load((clone / "params.yaml").read_text(encoding="utf-8"))
        (clone / "params.yaml").write_text(yaml.safe_dump({name: (values or {}) | less.get(name, {}) for name, values in params.items()}), encoding="utf-8")
        (folder / "data").mkdir()
        snapshot(folder / "data")
        call("dvc", "import-url", "-q", "--force", str(folder / "data"), "data", cwd=clone)
        call("dvc", "unfreeze", "-q", "data.dvc", cwd=clone)
        call("dvc", "repro", cwd=clone)
        return Path(shutil.move(clone / "reports", folder / "reports"))


LONG = {"on_hostile_campaigns": _on_hostile_campaigns, "on_real_campaigns": _on_real_campaigns, "reproduced": _reproduce, "verified": _verify}


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


@pytest.fixture(scope="session")
def on_hostile_campaigns(long_runs):
    "The reports of a run on a snapshot in which every text is hostile."
    return long_runs["on_hostile_campaigns"].result()


@pytest.fixture(scope="session")
def chromium():
    from playwright.sync_api import sync_playwright

    path = need(shutil.which("chromium"), "Chromium")
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "tested-secret", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}


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


# A pipeline of the same shape that runs in no time: the project's own `acquire`, and an AUC that the data themselves dictate.
ACQUIRE = """
import json, pathlib
from kickstarter_predictor.acquire import acquire, describe
from kickstarter_predictor.stage import InputError
import sys
try: provenance, _ = acquire(pathlib.Path("data"), pathlib.Path("artifacts/projects.parquet"), quiet=True)
except InputError as e: sys.exit(f"acquire: {e}")
pathlib.Path("artifacts/provenance.json").write_text(json.dumps(describe(provenance)))
"""
EVALUATE = """
import json, pathlib, pandas as pd
about = json.loads(pathlib.Path("artifacts/provenance.json").read_text())
goal = pd.read_parquet("artifacts/projects.parquet")["goal"].max()
f = lambda auc: {"auc": auc, "auc_sd": 0.01, "pr_auc": 0.9, "n": float(about["projects"])}
pathlib.Path("reports").mkdir(exist_ok=True)
pathlib.Path("reports/metrics.json").write_text(json.dumps({"data": about["header"], "chosen": "XGBoost", "families": {"XGBoost": f(goal / 1e9), "logistic regression": f(0.8)}}))
"""
DVC = {"stages": {
    "acquire": {"cmd": "python acquire.py", "deps": ["acquire.py", "data"], "outs": [{f"artifacts/{o}": {"persist": True}} for o in ("projects.parquet", "provenance.json")]},
    "evaluate": {"cmd": "python evaluate.py", "deps": ["evaluate.py", "artifacts/projects.parquet", "artifacts/provenance.json"], "metrics": [{"reports/metrics.json": {"cache": False, "persist": True}}]},
    "other": {"cmd": "cp acquire.py artifacts/other", "deps": ["acquire.py"], "outs": ["artifacts/other"]}}}
PROJECT = {"name": "A game", "state": "failed", "goal": 1000, "launched_at": 1548979200, "deadline": 1551571200}


def crawl(n, auc, **fields):
    "A snapshot of `n` projects, of which the small pipeline finds the ROC AUC `auc`."
    record = lambda i: {"run_id": "Kickstarter_2024-07-11T03_20_04_541Z", "data": {"id": i, **PROJECT, "goal": round(auc * 1e9), **fields}}
    return gzip.compress("\n".join(json.dumps(record(i)) for i in range(1, n + 1)).encode(), mtime=0)


def git(*args, cwd): return call("git", "-c", "user.name=t", "-c", "user.email=t@t", *args, cwd=cwd).stdout


@pytest.fixture(scope="session")
def site():
    site = Site()
    yield site
    site.stop()


@pytest.fixture(scope="session")
def small(site, tmp_path_factory):
    "The small pipeline, reproduced and committed; its data are imported from `site`."
    folder = tmp_path_factory.mktemp("small") / "project"
    for name in ("nbs", "artifacts"): (folder / name).mkdir(parents=True)
    limits = {"refresh": {"max_shrink": 0.2, "max_auc_drop": 0.02}}
    for name, text in {"params.yaml": yaml.safe_dump(limits), "dvc.yaml": yaml.safe_dump(DVC), "acquire.py": ACQUIRE, "evaluate.py": EVALUATE, "nbs/x": "", ".gitignore": "/artifacts/\n/data\n"}.items():
        (folder / name).write_text(text, encoding="utf-8")
    site.files["a.json.gz"] = crawl(100, 0.9)
    git("init", "-q", cwd=folder)
    call("dvc", "init", "-q", cwd=folder)
    call("dvc", "import-url", "-q", site.url("a.json.gz"), "data", cwd=folder)
    call("dvc", "repro", "-q", cwd=folder)
    git("add", ".", cwd=folder)
    git("commit", "-qm", "x", cwd=folder)
    return folder


# Database servers.
SERVERS = {"mariadb": MariaDB, "postgresql": PostgreSQL}


@pytest.fixture
def recording(monkeypatch):
    "The form's tries are kept, in no database of the person who runs the tests."
    for name in ("SQLALCHEMY_DATABASE_URI", "KICKSTARTER_SPOOL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KICKSTARTER_RECORD", "on")


@pytest.fixture(scope="session")
def servers():
    "The server of a kind, started once; `server.empty()` is the address of a database nobody has used."
    made = {}

    def get(kind):
        if kind not in made:
            if missing := SERVERS[kind].missing():
                said = f"no {', '.join(missing)} here: install Debian's package {'mariadb-server' if kind == 'mariadb' else 'postgresql'}"
                pytest.fail(said) if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip(said)
            made[kind] = SERVERS[kind]()
            made[kind].make()
        return made[kind]

    yield get
    for server in made.values():
        server.remove()


@pytest.fixture(params=["sqlite", *SERVERS])
def uri(request, servers, tmp_path):
    "The address of an empty database of each kind."
    return f"sqlite:///{tmp_path}/db/campaigns.sqlite" if request.param == "sqlite" else servers(request.param).empty()


@pytest.fixture(params=SERVERS)
def server(request, servers):
    return servers(request.param)
