"""A whole snapshot: python benchmarks/snapshot.py run|script|years PROJECTS...

`run`: every stage of `make run` on synthetic snapshots of so many projects (of `10_sample`, with
another seed): processor and wall time and peak memory of each stage.
`script`: what a user would write with pandas and scikit-learn, on the same snapshots: read, clean,
TF-IDF and one-hot, five-fold cross-validation of three families.
`years`: acquire on 24 monthly snapshots of so many lines, nine tenths of which are of the projects
of the month before, against one of them.
Results are added to benchmarks/snapshot.json, which 53_benchmark shows. Campaigns are synthetic:
the figures say what a run costs, not what it finds.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_suffix(".json")
SEED = 7  # not the embedded snapshot's
STAGES = (
    "acquire",
    "clean",
    "explore",
    "features",
    "tune",
    "evaluate",
    "population",
    "predict",
    "model_card",
    "outcomes",
    "experiment",
    "monitor",
    "index",
)
MONTHS = 24


def write(projects: int, folder: Path) -> None:
    from kickstarter_predictor.sample import RUN_ID, snapshot_lines, write_snapshot

    folder.mkdir(parents=True)
    write_snapshot(folder / f"{RUN_ID}.json.gz", snapshot_lines(projects, SEED))


def snapshot_of(projects: int, folder: Path) -> Path:
    """`folder` with a snapshot of so many projects, written by a process of its own: the peak of
    a child counts from that of its parent."""
    subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "write", str(projects), str(folder)],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return folder


def cost(command: list[str], cwd: Path) -> dict:
    """Processor and wall seconds of `command` and all it starts, and the peak memory in MB of
    its largest process."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(cwd)},
    )
    error = process.stderr.read().decode("utf-8", "replace")
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)}: {error[-2000:]}")
    return {
        "cpu": round(used.ru_utime + used.ru_stime, 1),
        "wall": round(time.perf_counter() - start, 1),
        "peak": round(used.ru_maxrss / 1024),
    }


def stages(projects: int) -> dict[str, dict]:
    "{stage: cost} of a run on so many projects, in a copy of the committed files."
    with tempfile.TemporaryDirectory() as tmp:
        copy = Path(tmp) / "copy"
        copy.mkdir()
        archive = subprocess.run(
            ["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True
        ).stdout
        subprocess.run(["tar", "x"], cwd=copy, input=archive, check=True)
        snapshot_of(projects, copy / "data")
        return {
            name: cost([sys.executable, "-m", "kickstarter_predictor.stage", name], copy)
            for name in STAGES
        }


def campaigns_by_hand(path: Path):
    """The ended campaigns of the snapshot `path` as a table, some thousand lines at a time; a
    line that is no JSON is left out."""
    import gzip
    from itertools import islice

    import pandas as pd

    def data_of(line: bytes) -> dict:
        try:
            data = json.loads(line)["data"]
            return data if isinstance(data, dict) else {}
        except (ValueError, KeyError, TypeError):
            return {}

    kept = [
        "id",
        "name",
        "blurb",
        "goal",
        "static_usd_rate",
        "state",
        "country",
        "currency",
        "launched_at",
        "deadline",
        "staff_pick",
    ]
    parts = []
    with gzip.open(path) as lines:
        while chunk := list(islice(lines, 10_000)):
            rows = [d for d in map(data_of, chunk) if d]
            parts.append(
                pd.DataFrame(
                    [
                        {c: d.get(c) for c in kept}
                        | {"category": (d.get("category") or {}).get("slug")}
                        for d in rows
                    ]
                )
            )
    table = pd.concat(parts).drop_duplicates("id", keep="last")
    table = table[table["state"].isin(["successful", "failed"])]
    number = lambda c: pd.to_numeric(table[c], errors="coerce")
    table = table.assign(
        log_goal=np.log1p(
            (number("goal") * number("static_usd_rate").fillna(1)).clip(lower=0)
        ).fillna(0),
        days=((number("deadline") - number("launched_at")) / 86_400).fillna(30),
        year=pd.to_datetime(number("launched_at"), unit="s").dt.year.fillna(2015),
        picked=table["staff_pick"].eq(True).astype(float),
        name=table["name"].fillna(""),
        blurb=table["blurb"].fillna(""),
    )
    return table.reset_index(drop=True)


def by_hand(path: Path) -> dict[str, float]:
    "{family: mean AUC over five folds}, by pandas and scikit-learn."
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from xgboost import XGBClassifier

    table = campaigns_by_hand(path)
    y = table["state"].eq("successful").to_numpy(int)
    words = lambda: TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    columns = lambda: ColumnTransformer(
        [
            ("name", words(), "name"),
            ("blurb", words(), "blurb"),
            ("levels", OneHotEncoder(handle_unknown="ignore"), ["category", "country", "currency"]),
            ("numbers", StandardScaler(), ["log_goal", "days", "year", "picked"]),
        ]
    )
    families = {
        "logistic regression": LogisticRegression(max_iter=1000),
        "random forest": RandomForestClassifier(100, min_samples_leaf=3, random_state=0),
        "XGBoost": XGBClassifier(
            n_estimators=500,
            learning_rate=0.035,
            max_depth=4,
            subsample=0.8,
            colsample_bytree=0.25,
            n_jobs=1,
        ),
    }
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return {
        name: float(
            cross_val_score(
                make_pipeline(columns(), model), table, y, cv=folds, scoring="roc_auc"
            ).mean()
        )
        for name, model in families.items()
    }


def script(projects: int) -> dict:
    "The cost of `by_hand` on so many projects, and what it reaches."
    with tempfile.TemporaryDirectory() as tmp:
        folder = snapshot_of(projects, Path(tmp) / "data")
        scores = Path(tmp) / "scores.json"
        used = cost(
            [
                sys.executable,
                str(Path(__file__).resolve()),
                "by-hand",
                str(next(folder.iterdir())),
                str(scores),
            ],
            ROOT,
        )
        return used | {
            "auc": {
                name: round(a, 4)
                for name, a in json.loads(scores.read_text(encoding="utf-8")).items()
            }
        }


def years(lines: int) -> dict:
    """{1 and 24 snapshots: cost of acquire}, each snapshot of `lines` lines, of which a tenth
    are new projects."""
    from kickstarter_predictor.benchmark import generate

    with tempfile.TemporaryDirectory() as tmp:
        for month in range(MONTHS):
            folder = Path(tmp) / "all"
            folder.mkdir(exist_ok=True)
            run_id = f"Kickstarter_{2022 + month // 12}-{month % 12 + 1:02}-11T03_20_00_000Z"
            generate(str(folder / f"{run_id}.json.gz"), lines, run_id, month * lines // 10)
        read = "import sys; from pathlib import Path; from kickstarter_predictor.acquire import acquire; acquire(Path(sys.argv[1]), Path(sys.argv[2]), quiet=True)"
        sources = {"1": min(folder.iterdir()), str(MONTHS): folder}
        return {
            name: cost([sys.executable, "-c", read, str(path), f"{tmp}/{name}.parquet"], ROOT)
            for name, path in sources.items()
        }


def add(kind: str, projects: int, result: dict) -> None:
    from kickstarter_predictor.benchmark import machine

    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    known["machine"] = {
        name: machine()[name] for name in ("processor", "cores", "memory", "Python")
    }
    known.setdefault(kind, {})[str(projects)] = result
    RESULTS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(kind, projects, json.dumps(result))


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "write":
        write(int(arguments[0]), Path(arguments[1]))
    elif what == "by-hand":
        Path(arguments[1]).write_text(json.dumps(by_hand(Path(arguments[0]))), encoding="utf-8")
    else:
        for n in map(int, arguments):
            add(what, n, {"run": stages, "script": script, "years": years}[what](n))
