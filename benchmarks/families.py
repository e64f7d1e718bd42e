"""Families beyond ours on the same folds: python benchmarks/families.py RESULTS [ROWS]

RESULTS is a folder that `make run` made (or this checkout), ROWS the most campaigns to take. Needs
`pip install catboost lightgbm`, which the project does not.
Prints mean AUC over the folds, outside single-outcome subcategories and overall, of each alone and
blended half and half with our XGBoost on the same matrix.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from kickstarter_predictor.metrics import auc
from kickstarter_predictor.tune import FAMILIES, fit_family, make_fold


def catboost(d, levels=4):
    from catboost import CatBoostClassifier

    frames = [
        pd.DataFrame(X).astype({c: "Int64" for c in range(X.shape[1] - levels, X.shape[1])})
        for X in (d.X_train, d.X_test)
    ]
    for f in frames:
        f[f.columns[-levels:]] = f[f.columns[-levels:]].astype("string").fillna("?")
    model = CatBoostClassifier(
        iterations=800,
        learning_rate=0.04,
        depth=6,
        l2_leaf_reg=5,
        cat_features=list(frames[0].columns[-levels:]),
        thread_count=2,
        verbose=0,
        random_seed=0,
        allow_writing_files=False,
    )
    return model.fit(frames[0], d.y_train).predict(frames[1], prediction_type="RawFormulaVal")


def lightgbm(d, levels=4):
    import lightgbm as lgb

    settings = dict(
        objective="binary",
        learning_rate=0.03,
        num_leaves=15,
        min_child_samples=20,
        colsample_bytree=0.25,
        subsample=0.8,
        subsample_freq=1,
        reg_lambda=3,
        num_threads=2,
        seed=0,
        verbose=-1,
        deterministic=True,
    )
    columns = list(range(d.X_train.shape[1] - levels, d.X_train.shape[1]))
    return lgb.train(
        settings, lgb.Dataset(d.X_train, d.y_train, categorical_feature=columns), 600
    ).predict(d.X_test, raw_score=True)


if __name__ == "__main__":
    folder, rows = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None
    features = pd.read_parquet(folder / "artifacts" / "features.parquet")
    odd = {
        f"{c['parent']}/{c['category']}"
        for c in json.loads((folder / "artifacts" / "explore.json").read_text(encoding="utf-8"))[
            "single_outcome_subcategories"
        ]
    }
    features = features.sample(rows, random_state=0) if rows and rows < len(features) else features
    y, fold, outside = (
        features["success"].to_numpy(),
        features["fold"].to_numpy(),
        ~features["category"].isin(odd).to_numpy(),
    )
    scores = {
        name: np.empty(len(y)) for name in ("XGBoost", "CatBoost", "LightGBM", "neural network")
    }
    for k in np.unique(fold):
        d = make_fold(features, k)
        for name, fit in {"CatBoost": catboost, "LightGBM": lightgbm}.items():
            scores[name][fold == k] = fit(d)
        for name in ("XGBoost", "neural network"):
            scores[name][fold == k] = fit_family(name, d.X_train, d.y_train, FAMILIES[name].start)(
                d.X_test
            )
    mixed = {
        f"XGBoost + {name}": 0.5 * (scores["XGBoost"] + scores[name])
        for name in ("CatBoost", "LightGBM", "neural network")
    }
    for name, s in (scores | mixed).items():
        each = [auc(y[fold == k], s[fold == k]) for k in np.unique(fold)]
        beyond = [auc(y[(fold == k) & outside], s[(fold == k) & outside]) for k in np.unique(fold)]
        print(
            f"{name}: {np.mean(each):.4f} ± {np.std(each, ddof=1):.4f}, outside single-outcome subcategories {np.mean(beyond):.4f} (n = {len(y):,}, {len(each)} folds)"
        )
