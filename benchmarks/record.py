"""By hand: how long `record` and `requests` keep a page waiting, on each database, and while it
is away. `python benchmarks/record.py [n]`"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from kickstarter_predictor.record import Recorder
from support.servers import MariaDB, PostgreSQL

CAMPAIGN = {
    "name": "Fog & Lanterns",
    "blurb": "b" * 135,
    "goal": 12000.0,
    "currency": "USD",
    "launched_at": "2026-12-01",
    "days": 30.0,
}


def timed(call, n: int) -> str:
    times = []
    for i in range(n):
        begin = time.perf_counter()
        call(i)
        times.append(1000 * (time.perf_counter() - begin))
    return f"median {statistics.median(times):6.2f} ms, p95 {statistics.quantiles(times, n=20)[-1]:6.2f} ms, worst {max(times):6.2f} ms"


def bench(name: str, uri: str, spool: Path, n: int) -> None:
    recorder, stored = Recorder(uri, spool=spool), []
    recorder.flush(10)
    recorder.bucket.left = recorder.bucket.burst = n  # what is not recorded costs nothing
    print(
        f"{name:11} record  {timed(lambda i: stored.append(recorder.record(CAMPAIGN, i / n, 0, 1, 'm', f'v{i % 25}')), n)}, {sum(stored)} of {n} stored at once"
    )
    if any(stored):
        assert recorder.flush(30)
    print(f"{name:11} requests {timed(lambda i: recorder.requests(f'v{i % 25}'), n)}")
    recorder.close(0)


if __name__ == "__main__":
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory() as tmp:
        bench("SQLite", f"sqlite:///{tmp}/x.sqlite", Path(tmp) / "spool", n)
        for kind in (MariaDB, PostgreSQL):
            server = kind()
            try:
                server.make()
                bench(kind.__name__, server.database("kpbench"), Path(tmp) / "spool", n)
            finally:
                server.remove()
        bench("away", "mysql://u:p@127.0.0.1:1/x", Path(tmp) / "spool2", n)
