"""What tuning costs and reaches: python benchmarks/tune.py trial | search | bar | rows [SNAPSHOT]

SNAPSHOT is any that `acquire` reads: by default ../shared/data/scraped_2017_2024.json.gz, or the
embedded one. Each part is a function that returns rows (plain dicts):
`trial_cost`, `over_time`, `at_the_bar` (against AutoGluon, if $AUTOGLUON_PYTHON names a Python that
has it) and `by_rows`.
Outcome fields cannot enter: features are those of 23_features alone, which refuses them."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median

import numpy as np
import pandas as pd

from kickstarter_predictor.acquire import acquire
from kickstarter_predictor.clean import clean
from kickstarter_predictor.metrics import auc
from kickstarter_predictor.inputs import CATEGORICAL, NUMBERS
from kickstarter_predictor.features import (
    LEARNED,
    encode_ordinals,
    feature_table,
    folds,
    ordinal_encoding,
    vocabulary,
)
from kickstarter_predictor.tune import (
    FAMILIES,
    Fold,
    Search,
    best_settings,
    binned,
    blend_weights,
    finished,
    fit_family,
    fit_xgboost,
    make_fold,
    run_search,
)

ROOT = Path(__file__).parents[1]
SCRAPED = ROOT.parent / "shared" / "data" / "scraped_2017_2024.json.gz"


def campaigns_of(snapshot: Path) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as tmp:
        acquire(snapshot, Path(tmp) / "projects.parquet", quiet=True)
        return clean(pd.read_parquet(Path(tmp) / "projects.parquet"))[0]


def folds_of(campaigns: pd.DataFrame, n: int = 3) -> list[Fold]:
    "The first `n` of five folds, as the stage tune sees them."
    features, _ = feature_table(campaigns, 5, 3, n_jobs=2, ks=range(n))
    return [make_fold(features, k) for k in range(n)]


def classifier(settings: dict, X, threads: int = 1):
    "scikit-learn's way to the same model."
    from xgboost import XGBClassifier

    kinds = ["q"] * (X.shape[1] - len(CATEGORICAL)) + ["c"] * len(CATEGORICAL)
    return XGBClassifier(
        **settings,
        max_cat_to_onehot=4,
        random_state=0,
        n_jobs=threads,
        feature_types=kinds,
        enable_categorical=True,
        tree_method="hist",
    )


def by_cross_val_score(settings: dict, data: list[Fold]) -> list[float]:
    """AUC of each fold by `cross_val_score`. A fold's learned features are its own, so each fold
    is a table of its own, with one split."""
    from sklearn.model_selection import cross_val_score

    scores = []
    for d in data:
        X, y, n = (
            np.vstack([d.X_train, d.X_test]),
            np.concatenate([d.y_train, d.y_test]),
            len(d.y_train),
        )
        scores += [
            *cross_val_score(
                classifier(settings, X),
                X,
                y,
                scoring="roc_auc",
                cv=[(np.arange(n), np.arange(n, len(y)))],
            )
        ]
    return scores


def by_shared_bins(settings: dict, data: list[Fold], bins: list) -> list[float]:
    return [
        auc(d.y_test, fit_xgboost(b, d.y_train, **settings, coded=len(CATEGORICAL))(d.X_test))
        for d, b in zip(data, bins)
    ]


def trial_cost(data: list[Fold], rounds: int = 5, trees: tuple = (100, 500)) -> list[dict]:
    """A row a number of trees: median seconds of a trial over the folds both ways, run in turn,
    their ratio with its range, and the largest difference of a score. Bins are made once for
    `rounds` trials, and that time is shared out."""
    rows = []
    for n in trees:
        settings, took, gap = (
            FAMILIES["XGBoost"].start | {"n_estimators": n},
            {"shared": [], "cross_val_score": []},
            0.0,
        )
        began = time.perf_counter()
        bins = [binned(d.X_train, d.y_train, len(CATEGORICAL)) for d in data]
        once = (time.perf_counter() - began) / rounds
        for _ in range(rounds):
            began = time.perf_counter()
            ours = by_shared_bins(settings, data, bins)
            between = time.perf_counter()
            theirs = by_cross_val_score(settings, data)
            took["shared"].append(between - began + once)
            took["cross_val_score"].append(time.perf_counter() - between)
            gap = max(gap, float(np.abs(np.array(ours) - theirs).max()))
        ratio = [b / a for a, b in zip(took["shared"], took["cross_val_score"])]
        rows.append(
            {
                "trees": n,
                "rows": len(data[0].y_train),
                "folds": len(data),
                "shared_s": median(took["shared"]),
                "cross_val_score_s": median(took["cross_val_score"]),
                "times_faster": median(ratio),
                "low": min(ratio),
                "high": max(ratio),
                "largest_difference": gap,
            }
        )
    return rows


def over_time(data: list[Fold], trials: int = 16, seeds: tuple = (0, 1, 2)) -> list[dict]:
    """A row a trial of XGBoost's search, ours and random search by `cross_val_score` over the
    same space: seed, way, trial, seconds since the start, best mean AUC so far. One thread each,
    in turn."""
    rows = []
    for seed in seeds:
        began, best, reported = time.perf_counter(), 0.0, 0

        def note(done):
            nonlocal reported
            if done > reported:
                reported = done
                rows.append(
                    {
                        "seed": seed,
                        "way": "ours",
                        "trial": done,
                        "seconds": time.perf_counter() - began,
                    }
                )

        job = Search(["XGBoost"], data, trials, len(data[0].y_train), seed)
        study = run_search(job, n_jobs=1, progress=note)["XGBoost"]
        for row, t in zip(
            [r for r in rows if r["way"] == "ours" and r["seed"] == seed], finished(study).values()
        ):
            best = max(best, t.value if t.state.name == "COMPLETE" else 0)
            row["auc"] = best
        began, best = time.perf_counter(), 0.0
        for number, settings in enumerate(at_random("XGBoost", trials, seed)):
            best = max(best, mean(by_cross_val_score(settings, data)))
            rows.append(
                {
                    "seed": seed,
                    "way": "random, cross_val_score",
                    "trial": number + 1,
                    "seconds": time.perf_counter() - began,
                    "auc": best,
                }
            )
    return rows


def at_random(name: str, trials: int, seed: int) -> list[dict]:
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    for _ in range(trials):
        trial = study.ask()
        FAMILIES[name].space(trial)
        study.tell(trial, 0.0)
    return [FAMILIES[name].start | t.params for t in study.trials]


def holdout(campaigns: pd.DataFrame, seed: int) -> np.ndarray:
    "Which rows are held back: a fifth, no creator or name on both sides."
    return folds(campaigns["success"].to_numpy(), campaigns["group"].to_numpy(), 5, seed) == 0


def split_matrices(campaigns: pd.DataFrame, held: np.ndarray) -> Fold:
    """Train and test matrices of one split: everything learned, levels included, is learned from
    the training rows."""
    features, _ = feature_table(campaigns, inner_folds=3, fold=held.astype(int), ks=[1])
    X = np.hstack(
        [
            features[NUMBERS + [f"{c}@1" for c in LEARNED]].to_numpy(np.float32),
            encode_ordinals(features, ordinal_encoding(vocabulary(features[~held]))),
        ]
    )
    y = features["success"].to_numpy()
    return Fold(X[~held], y[~held], X[held], y[held])


FEW = ["XGBoost", "logistic regression", "neural network"]
LADDER = {
    "XGBoost, no search": (["XGBoost"], 1),
    "blend of three, no search": (FEW, 1),
    "blend of three, 3 trials each": (FEW, 3),
    "blend of four, 8 trials each": (list(FAMILIES), 8),
}


def ours(
    campaigns: pd.DataFrame,
    held: np.ndarray,
    families: list[str],
    trials: int,
    n_folds: int = 3,
    seed: int = 0,
) -> dict:
    """AUC on the rows held back, wall and CPU seconds, and those of each step; the search and
    the blend's shares see inner folds of the other rows only."""
    from joblib import Parallel, delayed

    clock, cpu, took = [time.perf_counter()], time.process_time(), {}

    def lap(name):
        clock.append(time.perf_counter())
        took[name] = clock[-1] - clock[-2]

    d, known = split_matrices(campaigns, held), campaigns[~held].reset_index(drop=True)
    data, settings, shares = [], {f: FAMILIES[f].start for f in families}, {families[0]: 1.0}
    if trials > 1 or len(families) > 1:
        inner, _ = feature_table(known, n_folds, 3, n_jobs=2, ks=range(n_folds))
        data = [make_fold(inner, k) for k in range(n_folds)]
    lap("features_s")
    if trials > 1:
        job = Search(families, data, trials, len(known), seed)
        settings = {
            f: b["settings"] for f, b in best_settings(run_search(job, n_jobs=2), job).items()
        }
    lap("search_s")
    jobs = [(f, part) for f in families for part in [d, *(data if len(families) > 1 else [])]]
    fit = delayed(
        lambda f, part: fit_family(f, part.X_train, part.y_train, settings[f], seed)(part.X_test)
    )
    scores = Parallel(n_jobs=2, prefer="threads")(fit(*job) for job in jobs)
    of = {
        f: [s for (g, _), s in zip(jobs, scores) if g == f] for f in families
    }  # of the rows held back, then of each inner fold
    if len(families) > 1:
        shares = blend_weights(
            np.concatenate([part.y_test for part in data]),
            {f: np.concatenate(each[1:]) for f, each in of.items()},
            20,
        )
    found = sum(share * of[f][0] for f, share in shares.items())
    lap("training_s")
    return {
        "auc": auc(d.y_test, found),
        "seconds": sum(took.values()),
        "cpu_s": time.process_time() - cpu,
        **took,
        "shares": shares,
        "held_back": int(held.sum()),
    }


AUTOGLUON = """
import json, resource, sys, tempfile, time
import pandas as pd
from autogluon.tabular import TabularPredictor, __version__
from sklearn.metrics import roc_auc_score
train, test = (pd.read_parquet(f"{sys.argv[1]}/{name}.parquet") for name in ("train", "test"))
used = lambda: sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
began, cpu = time.perf_counter(), used()
with tempfile.TemporaryDirectory() as tmp:
    model = TabularPredictor("success", eval_metric="roc_auc", path=tmp, verbosity=0).fit(train, time_limit=float(sys.argv[2]), presets="medium_quality")
    seconds, cpu = time.perf_counter() - began, used() - cpu
    print(json.dumps({"auc": roc_auc_score(test["success"], model.predict_proba(test)[1]), "seconds": seconds, "cpu_s": cpu, "version": __version__}))
"""
RAW = [
    "name",
    "blurb",
    "goal",
    "goal_usd",
    "currency",
    "country",
    "category",
    "parent",
    "launched_at",
    "deadline",
    "created_at",
    "days",
    "preparation_days",
    "earlier_campaigns",
    "earlier_successes",
    "staff_pick",
    "video",
]


def autogluon(campaigns: pd.DataFrame, held: np.ndarray, limit: float = 120) -> dict:
    """The same for AutoGluon on the launch-time columns as they are (its own features), by the
    Python that $AUTOGLUON_PYTHON names; {} if it names none."""
    if not (python := os.environ.get("AUTOGLUON_PYTHON")):
        return {}
    plain = campaigns[RAW].dropna(axis=1, how="all")
    plain = plain.assign(
        **{c: plain[c].dt.tz_localize(None) for c in plain if c.endswith("_at") or c == "deadline"},
        **{c: plain[c].astype(float) for c in ("staff_pick", "video") if c in plain},
    )
    with tempfile.TemporaryDirectory() as tmp:
        for name, rows in {"train": ~held, "test": held}.items():
            plain[rows].assign(success=campaigns["success"][rows]).to_parquet(
                f"{tmp}/{name}.parquet"
            )
        clean_env = {
            k: v
            for k, v in os.environ.items()
            if k not in ("PYTHONPATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        }
        done = subprocess.run(
            [python, "-c", AUTOGLUON, tmp, str(limit)],
            capture_output=True,
            text=True,
            env=clean_env,
            check=True,
            encoding="utf-8",
        )
    return json.loads(done.stdout.splitlines()[-1])


def at_the_bar(
    campaigns: pd.DataFrame, seeds: tuple = (0, 1, 2), ladder: dict = LADDER
) -> list[dict]:
    """A row a split (a fifth held back) and way: auc there, wall and CPU seconds from the table
    of campaigns to the scores; ours in the steps of `ladder`, AutoGluon where it is."""
    rows = []
    for seed in seeds:
        held = holdout(campaigns, seed)
        rows += [
            {"split": seed, "way": way, **ours(campaigns, held, *what)}
            for way, what in ladder.items()
        ]
        rows += [
            {"split": seed, "way": "AutoGluon", **found}
            for found in [autogluon(campaigns, held)]
            if found
        ]
    return rows


SIZE = """
import json, sys, time
import numpy as np
from kickstarter_predictor.benchmark import peak_memory
from kickstarter_predictor.tune import FAMILIES, binned, fit_xgboost
n, columns, trees, threads = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
X = rng.normal(size=(n, columns)).astype(np.float32) if n < 50_000 else np.resize(rng.normal(size=(50_000, columns)).astype(np.float32), (n, columns))
y = (X[:, :5].sum(axis=1) + rng.normal(size=n).astype(np.float32) > 0).astype(np.int8)
began = time.perf_counter()
data = binned(X, y, threads=threads)
between = time.perf_counter()
fit_xgboost(data, y, **FAMILIES["XGBoost"].start | {"n_estimators": trees}, threads=threads)
print(json.dumps({"rows": n, "matrix_mb": X.nbytes / 1e6, "bins_s": between - began, "s_per_tree": (time.perf_counter() - between) / trees, "peak_mb": peak_memory()}))
"""


def by_rows(
    sizes: tuple = (104_492, 1_000_000, 10_000_000), trees: int = 10, threads: int = 2
) -> list[dict]:
    """A row a size: bytes of a matrix of as many rows (drawn, then repeated), seconds to bin it
    and a tree, 500 trees at that rate, and peak memory; each in a process of its own."""
    width = len(NUMBERS) + len(LEARNED) + len(CATEGORICAL)
    run = lambda n: json.loads(
        subprocess.run(
            [sys.executable, "-c", SIZE, str(n), str(width), str(trees), str(threads)],
            capture_output=True,
            text=True,
            check=True,
            encoding="utf-8",
        ).stdout
    )
    return [
        row
        | {
            "s_500_trees": row["bins_s"] + 500 * row["s_per_tree"],
            "trees": trees,
            "threads": threads,
        }
        for row in map(run, sizes)
    ]


def summary(rows: list[dict]) -> pd.DataFrame:
    "Of `at_the_bar`: mean and spread over splits."
    table = pd.DataFrame(rows).groupby("way", sort=False)
    return table.agg(
        splits=("auc", "size"),
        auc=("auc", "mean"),
        auc_sd=("auc", "std"),
        seconds=("seconds", "median"),
        cpu_s=("cpu_s", "median"),
    ).reset_index()


if __name__ == "__main__":
    what, path = sys.argv[1], (
        Path(sys.argv[2]) if len(sys.argv) > 2 else SCRAPED if SCRAPED.exists() else ROOT / "sample"
    )
    parts = {
        "trial": lambda c: trial_cost(folds_of(c)),
        "search": lambda c: over_time(folds_of(c)),
        "bar": at_the_bar,
        "rows": lambda c: by_rows(),
    }
    found = parts[what](campaigns_of(path) if what != "rows" else None)
    print(
        pd.DataFrame(found)
        .drop(columns=["shares"], errors="ignore")
        .round(4)
        .to_string(index=False)
    )
    if what == "bar":
        print(summary(found).round(4).to_string(index=False))
