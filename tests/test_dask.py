"Acquire on a Dask cluster: the table of one machine, whatever becomes of a worker; and what is said if the cluster cannot be used."
import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from support.project import ROOT, call, free_ports
from kickstarter_predictor import acquire as module
from kickstarter_predictor.acquire import acquire
from kickstarter_predictor.core import InputError
from test_bad_input import PROJECT

pytest.importorskip("distributed", reason="Dask is an extra: pip install 'kickstarter-predictor[dask]'")
SCHEDULER = """
import asyncio, sys
from distributed import Scheduler
async def main():
    async with Scheduler(host="127.0.0.1", port=int(sys.argv[1]), dashboard=False) as s: await s.finished()
asyncio.run(main())
"""
WORKER = """
import asyncio, sys
from distributed import Worker
async def main():
    async with Worker(sys.argv[1], host="127.0.0.1", nthreads=1, dashboard=False, name=sys.argv[2], local_directory=sys.argv[3]) as w: await w.finished()
asyncio.run(main())
"""


class Cluster:
    "A scheduler and two workers on loopback, each a process of its own."

    def __init__(self, folder):
        self.address, self.env = f"tcp://127.0.0.1:{free_ports(1)[0]}", {**os.environ, "PYTHONPATH": str(ROOT)}
        self.log = open(folder / "log", "wb")
        self.scheduler = self.start(SCHEDULER, self.address.rpartition(":")[2])
        self.workers = [self.start(WORKER, self.address, f"w{k}", str(folder)) for k in range(2)]

    def start(self, code, *args):
        return subprocess.Popen([sys.executable, "-c", code, *args], cwd=ROOT, env=self.env, stdout=self.log, stderr=self.log)

    def stop(self):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        self.log.close()


@pytest.fixture
def cluster(request, tmp_path):
    found = Cluster(tmp_path)
    request.addfinalizer(found.stop)
    from distributed import Client
    with Client(found.address, timeout=60, set_as_default=False) as client: client.wait_for_workers(2, timeout=60)
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    "Six months of overlapping crawls, each with a few lines that are rejected."
    folder = tmp_path_factory.mktemp("data")
    for month in range(1, 7):
        run, ids = f"Kickstarter_2020-{month:02}-16T03_20_04_541Z", range(3_000 * month, 3_000 * month + 20_000)
        lines = [json.dumps({"run_id": run, "data": PROJECT | {"id": i, "name": f"{i} in {month}"}}) for i in ids]
        lines[month * 100] = '{"data": {"id": 1'
        (folder / f"{run}.json").write_text("\n".join(lines), encoding="utf-8")
    return folder


def result(source, folder, **how):
    provenance, rejects = acquire(source, folder / "projects.parquet", quiet=True, **how)
    return (folder / "projects.parquet").read_bytes(), provenance, rejects


@pytest.fixture(scope="module")
def local(data, tmp_path_factory):
    return result(data, tmp_path_factory.mktemp("local"))


def assert_same(found, wanted):
    assert found[0] == wanted[0]
    for a, b in zip(found[1:], wanted[1:]): pd.testing.assert_frame_equal(a, b)


ACQUIRE = """
import sys
from pathlib import Path
from kickstarter_predictor.acquire import acquire
source, out, scheduler, shared = sys.argv[1:]
provenance, rejects = acquire(Path(source), Path(out) / "projects.parquet", quiet=True, engine="dask", scheduler=scheduler, shared_dir=shared)
provenance.to_json(Path(out) / "provenance.json")
rejects.to_csv(Path(out) / "rejects.csv")
"""


def stop_in_the_middle(workers, shared):
    "Stop both workers while each has a table that it has begun and not ended."
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if len(list(shared.glob("acquire-*/.tmp-*"))) == 2:
            for w in workers: w.send_signal(signal.SIGSTOP)
            time.sleep(0.05)
            if len(list(shared.glob("acquire-*/.tmp-*/*.arrow"))) == 2: return
            for w in workers: w.send_signal(signal.SIGCONT)
        time.sleep(0.002)
    pytest.fail("the workers were never both in the middle of a file")


def test_a_worker_is_killed_in_the_middle(cluster, data, local, tmp_path):
    shared = tmp_path / "shared"
    ours = cluster.start(ACQUIRE, str(data), str(tmp_path), cluster.address, str(shared))
    stop_in_the_middle(cluster.workers, shared)
    cluster.workers[0].kill()
    assert cluster.workers[0].wait() == -signal.SIGKILL and ours.poll() is None
    cluster.workers[1].send_signal(signal.SIGCONT)
    assert ours.wait(120) == 0
    assert (tmp_path / "projects.parquet").read_bytes() == local[0] and list(shared.iterdir()) == []
    assert (tmp_path / "provenance.json").read_text(encoding="utf-8") == local[1].to_json() and (tmp_path / "rejects.csv").read_text(encoding="utf-8") == local[2].to_csv()


def test_tables_on_s3(rclone, data, local, tmp_path, monkeypatch, request):
    monkeypatch.setenv("AWS_ENDPOINT_URL", rclone.url)
    rclone.client.create_bucket(Bucket="tables")
    cluster = request.getfixturevalue("cluster")  # whose workers have the address in their environment
    assert_same(result(data, tmp_path, engine="dask", scheduler=cluster.address, shared_dir="s3://tables/of/all"), local)
    assert not rclone.client.list_objects_v2(Bucket="tables").get("Contents")
    with pytest.raises(InputError, match="there is no such bucket"): result(data, tmp_path, engine="dask", scheduler=cluster.address, shared_dir="s3://nowhere")


def test_a_cluster_of_our_own(data, local, tmp_path):
    assert_same(result(data, tmp_path, engine="dask"), local)


def test_a_file_that_cannot_be_read_stops_it_as_it_does_here(cluster, data, tmp_path):
    for file in data.iterdir(): (tmp_path / "data" / file.name).parent.mkdir(exist_ok=True), (tmp_path / "data" / file.name).hardlink_to(file)
    (tmp_path / "data" / "page.json").write_text("<html>", encoding="utf-8")
    said = []
    for how in ({}, {"engine": "dask", "scheduler": cluster.address, "shared_dir": str(tmp_path / "shared")}):
        with pytest.raises(InputError) as e: acquire(tmp_path / "data", tmp_path / "out.parquet", quiet=True, **how)
        said.append(str(e.value))
    assert said[0] == said[1] and "page.json: is an HTML" in said[0] and not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("how, says", [
    ({"engine": "spark"}, "how.acquire.engine = spark: no such engine; there are local, dask"),
    ({"engine": "dask", "scheduler": "tcp://127.0.0.1:{port}", "shared_dir": "{tmp}"}, "how.acquire.scheduler = tcp://127.0.0.1:{port}: does not answer within 2 s"),
    ({"engine": "dask", "scheduler": "nonsense://x", "shared_dir": "{tmp}"}, "how.acquire.scheduler = nonsense://x: does not answer"),
    ({"engine": "dask", "scheduler": "tcp://127.0.0.1:{port}"}, "how.acquire.shared_dir is not set"),
    ({"engine": "dask", "shared_dir": "{tmp}/file"}, "how.acquire.shared_dir = {tmp}/file: cannot be written"),
], ids=["engine", "no scheduler", "no address", "no shared place", "unwritable"])  # fmt: skip
def test_what_is_said(how, says, data, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WAIT", 2)
    (tmp_path / "file").touch()
    fill = {"port": free_ports(1)[0], "tmp": tmp_path}
    with pytest.raises(InputError) as e: acquire(data, tmp_path / "out.parquet", quiet=True, **{k: v.format(**fill) for k, v in how.items()})
    assert says.format(**fill) in str(e.value) and "\n" not in str(e.value)


def test_without_dask(data, tmp_path):
    "Here as on a machine without the extra: a finder that says there is no such module."
    code = f"""
import sys
sys.modules["distributed"] = sys.modules["dask"] = None
from pathlib import Path
from kickstarter_predictor.acquire import acquire
acquire(Path({str(data)!r}), Path({str(tmp_path / "a.parquet")!r}), quiet=True)
try: acquire(Path({str(data)!r}), Path({str(tmp_path / "b.parquet")!r}), quiet=True, engine="dask")
except ValueError as e: print(e)
"""
    done = call(sys.executable, "-c", code, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
    assert "how.acquire.engine = dask" in done.stdout and "kickstarter-predictor[dask]" in done.stdout and (tmp_path / "a.parquet").exists() and not (tmp_path / "b.parquet").exists()
