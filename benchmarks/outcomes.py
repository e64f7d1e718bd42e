"""How well and how fast requests are matched: `python benchmarks/outcomes.py [seeds]`.

Precision and recall on ../shared/data, 500 projects and 250 that are taken out a seed, names
damaged, launches shifted by up to the window;
then 10,000 requests against 1,000,000 projects made of real names' words: seconds and peak memory.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
from kickstarter_predictor.matching import Rules
from kickstarter_predictor.outcomes import (
    simulated_request,
    figures,
    wilson_interval,
    judged,
    match,
    read_snapshots,
    simulated,
)

SHARED = Path(__file__).parents[2] / "shared" / "data"
FILES = ("kick_2009_2015", "scraped_2017_2024", "population_2009_2017")


def projects_of(file: str) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as tmp:
        read_snapshots([SHARED / f"{file}.json.gz"], Path(tmp) / "p.parquet", quiet=True)
        return pd.read_parquet(Path(tmp) / "p.parquet")


def interval_text(three) -> str:
    return f"{three[0]:.4f} [{three[1]:.4f}, {three[2]:.4f}]"


def accuracy(seeds) -> None:
    for file in FILES:
        projects = projects_of(file)
        every = [judged(simulated(projects, 500, 250, seed)) for seed in seeds]
        each = [figures(one) for one in every]
        low = lambda what: min(f[what][0] for f in each)
        print(
            f"\n{file}: {len(projects):,} projects, seeds {seeds[0]} to {seeds[-1]}; lowest precision of a seed {low('precision'):.4f}, lowest recall {low('recall'):.4f}"
        )
        together = pd.concat(every)
        for kind, group in [*together.groupby("damage"), ("all", together)]:
            f = figures(group)
            rest = {k: v for k, v in f.items() if k not in ("precision", "recall")}
            print(
                f"  {kind:14} precision {interval_text(f['precision'])}  recall {interval_text(f['recall'])}  {rest}"
            )


def scale(n: int = 1_000_000, requests: int = 10_000) -> None:
    rng, real = np.random.default_rng(0), projects_of("kick_2009_2015")
    names = real["name"].dropna().to_numpy()
    halves = [n.split() for n in names]
    pick = lambda: halves[rng.integers(len(halves))]
    made = [
        " ".join([*(a := pick())[: (len(a) + 1) // 2], *(b := pick())[len(b) // 2 :]])
        for _ in range(n)
    ]
    launched = pd.to_datetime(
        pd.Series(1_240_000_000 + rng.integers(0, 15 * 365 * 86_400, n)), unit="s", utc=True
    ).dt.as_unit("ms")
    same = real.iloc[rng.integers(len(real), size=n)].reset_index(drop=True)
    projects = same.assign(
        id=np.arange(1, n + 1),
        name=made,
        launched_at=launched,
        deadline=launched + pd.Timedelta(days=30),
        slug=None,
    )
    recent = projects.nlargest(n // 7, "launched_at").sample(requests, random_state=0)
    asked = [simulated_request(p, "typos", rng, Rules()) for p in recent.itertuples()]
    truth = dict(zip((t["id"] for t in asked), recent["id"]))
    with tempfile.TemporaryDirectory() as tmp:
        projects.to_parquet(Path(tmp) / "p.parquet", row_group_size=20_000)
        del projects, same, real, made, launched
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        run = match(
            sorted(asked, key=lambda t: t["asked_at"]),
            Path(tmp) / "p.parquet",
            Rules(),
            pd.Timestamp.now(tz="UTC"),
        )
        seconds = time.perf_counter() - start
    right = sum(truth[c["id"]] == c["project_id"] for c in run.written)
    print(
        f"\n{requests:,} requests of the last two years x {n:,} projects of fifteen: {seconds:.0f} s, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GB ({before / 2**20:.1f} GB before)"
    )
    print(
        f"  {run.counts}; precision {interval_text(wilson_interval(right, len(run.written)))}, recall {interval_text(wilson_interval(right, requests))}"
    )


if __name__ == "__main__":
    first, last = (int(s) for s in (sys.argv[1] if len(sys.argv) > 1 else "21-25").split("-"))
    accuracy(range(first, last + 1))
    scale()
