"""How long one prediction takes, and how long until the first: python benchmarks/predict.py

The figures are of this machine. Each is measured in turn with what it stands beside, so that their
ratio travels. `single` and `cold_starts`
give their rows to the benchmark notebook."""

import gzip
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from kickstarter_predictor import text
from kickstarter_predictor.clean import clean_text
from kickstarter_predictor.models import Model, calibrated
from kickstarter_predictor.inputs import inputs, categorical_values, numbers
from kickstarter_predictor.text import count_texts
from kickstarter_predictor.features import encode_ordinals, text_feature
from kickstarter_predictor.campaign import to_campaign
from kickstarter_predictor.models import PACKAGED, load_predictor
from kickstarter_predictor.predict import predict, to_columns, vectors

CAMPAIGN = {
    "name": "Fog & Lanterns: a cooperative card game",
    "blurb": "Guide your ship home through the fog: a card game for two to four players, ready to print.",
    "goal": 12000,
    "currency": "USD",
    "country": "US",
    "category": "Tabletop Games",
    "parent": "Games",
    "launched_at": "2024-03-05T16:00",
    "created_at": "2023-12-20",
    "days": 30,
    "video": True,
}
QUESTION = [
    "--name",
    "X",
    "--goal",
    "12000",
    "--days",
    "30",
    "--category",
    "Tabletop Games",
    "--launch",
    "2024-03-05",
]


def texts(n: int) -> list[dict]:
    "Name and blurb of `n` campaigns of the embedded snapshot, no two alike."
    [snapshot] = (Path(__file__).parents[1] / "sample").glob("*.json.gz")
    by_name = {}
    with gzip.open(snapshot, "rt", encoding="utf-8") as lines:
        for line in lines:
            data = json.loads(line)["data"] if '"blurb"' in line and line.endswith("}\n") else {}
            if data.get("name") and data.get("blurb"):
                by_name[data["name"]] = {"name": data["name"], "blurb": data["blurb"]}
            if len(by_name) == n:
                return list(by_name.values())
    raise ValueError(f"the embedded snapshot holds {len(by_name)} texts only")


def by_pipeline(campaign: dict, predictor, model) -> float:
    """The probability of `campaign` by the road that training takes: a table of one row, its
    texts counted, scored by `model`, whose trees are XGBoost's package."""
    table = pd.DataFrame([to_campaign(campaign).model_dump()])
    table = table.assign(
        goal_usd=table["goal"] * table["currency"].map(predictor.about["usd_rates"]),
        deadline=table["launched_at"] + pd.to_timedelta(table["days"], unit="D"),
        preparation_days=(table["launched_at"] - table["created_at"]) / pd.Timedelta(days=1),
        **{text: table[text].map(clean_text) for text in ("name", "blurb")},
    )
    columns = inputs(table)
    marks, X, encoder = categorical_values(columns), numbers(columns), predictor.encoder
    counts = count_texts(columns, int(np.log2(len(encoder.texts["name"].idf[0]))))
    learned = encoder(
        marks,
        {c: text_feature(encoder.texts[c], m) for c, m in counts.items()},
        X[:, 0].astype(float),
    )
    X = np.hstack([X, learned, encode_ordinals(marks, predictor.layout.levels)])[
        :, predictor.layout.at
    ]
    X = np.clip(X, predictor.layout.least, predictor.layout.most)
    return float(
        calibrated(
            model(np.where(np.isnan(X), predictor.layout.fill, X))[0], predictor.about["calibrator"]
        )
    )


def single(n: int = 300, in_a_row: int = 20) -> list[dict]:
    """One campaign, the packaged model loaded: rows of `way`, `p50_ms`, `p10_ms`, `p90_ms`,
    median `cpu_ms`, `n`. Each way has all of `n` campaigns, `in_a_row` of them, then it is the
    next one's turn."""
    import xgboost

    predictor = load_predictor("packaged")
    trees = Model(
        "XGBoost", booster=xgboost.Booster({"nthread": 1}, model_file=PACKAGED / "booster.ubj")
    )
    by_package = replace(predictor.model, trees=trees)
    campaigns = [CAMPAIGN | text | {"goal": 1000 + 10 * i} for i, text in enumerate(texts(n))]
    rows = [vectors(to_columns([to_campaign(c)], predictor.about), predictor) for c in campaigns]
    bare = lambda i: predict(campaigns[i], predictor, with_reasons=False).probability
    ways = {
        "probability": (bare, None),
        "probability, no word seen before": (bare, text._pieces.cache_clear),
        "probability and reasons": (lambda i: predict(campaigns[i], predictor).probability, None),
        "the model alone": (lambda i: predictor.model(rows[i]), None),
        "the model alone, by XGBoost's package": (lambda i: by_package(rows[i]), None),
        "table and pipeline": (lambda i: by_pipeline(campaigns[i], predictor, by_package), None),
    }
    far = max(
        abs(by_pipeline(c, predictor, by_package) - predict(c, predictor).probability)
        for c in campaigns[:50]
    )
    assert far < 1e-5, f"the ways differ by {far}"
    spent = {way: [] for way in ways}
    for first in range(0, n, in_a_row):
        for way, (call, before) in ways.items():
            for i in range(first, min(first + in_a_row, n)):
                if before:
                    before()
                wall, cpu = time.perf_counter(), time.thread_time()
                call(i)
                spent[way].append(
                    (1000 * (time.perf_counter() - wall), 1000 * (time.thread_time() - cpu))
                )
    quantile = lambda ms, q: np.quantile(ms, q).item()
    return [
        {
            "way": way,
            "p50_ms": quantile(wall, 0.5),
            "p10_ms": quantile(wall, 0.1),
            "p90_ms": quantile(wall, 0.9),
            "cpu_ms": quantile(cpu, 0.5),
            "n": n,
        }
        for way, (wall, cpu) in ((way, zip(*took)) for way, took in spent.items())
    ]


def one_process(*command) -> tuple[float, float]:
    """(wall seconds, processor seconds) of the process `command`. Raises CalledProcessError if
    it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall, process.returncode = time.perf_counter() - start, os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return wall, used.ru_utime + used.ru_stime


def cold_starts(n: int = 9) -> list[dict]:
    """Whole processes, in turn: rows of `process`, median `wall_s` with `low_s` and `high_s`
    (the fastest and the slowest), median `cpu_s`, `n`. A first round is left out: it fills the
    disk's cache."""
    python = sys.executable
    commands = {
        "python -c pass": (python, "-c", "pass"),
        'python -c "import numpy"': (python, "-c", "import numpy"),
        'python -c "import xgboost"': (python, "-c", "import xgboost"),
        "kickstarter-predict": (
            str(Path(python).with_name("kickstarter-predict")),
            *QUESTION,
            "--model",
            "packaged",
        ),
    }
    spent = {name: [] for name in commands}
    for _ in range(n + 1):
        for name, command in commands.items():
            spent[name].append(one_process(*command))
    return [
        {
            "process": name,
            "wall_s": statistics.median(wall),
            "low_s": min(wall),
            "high_s": max(wall),
            "cpu_s": statistics.median(cpu),
            "n": n,
        }
        for name, (wall, cpu) in ((name, zip(*took[1:])) for name, took in spent.items())
    ]


if __name__ == "__main__":
    for rows in (single(), cold_starts()):
        print(pd.DataFrame(rows).round(3).to_string(index=False))
