"""What the population model owes to its copies, its trees, its constraint and the rows that overreach, on the same folds: python benchmarks/population.py RESULTS

RESULTS is a folder that `make run` made of a pool of sources (`make run DATA='../shared/data/*.json.gz' OUT=RESULTS`). About ten minutes. Prints, of each variant
and source, AUC (mean and standard deviation over the folds), calibration error and n; out of fold, asked about all campaigns, without the bootstrap twin."""
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from kickstarter_predictor import population
from kickstarter_predictor.models import calibrated
from kickstarter_predictor.evaluate import fit_calibrator
from kickstarter_predictor.features import feature_table, vocabulary
from kickstarter_predictor.population import (
    GOAL, SETTINGS, asked, by_source, fit_population, in_single_outcome_subcategory, is_random_sample,
    population_matrix,
)
from kickstarter_predictor.core import param

BEFORE = SETTINGS | {"n_estimators": 520, "learning_rate": 0.045}
VARIANTS = {  # settings, copies, rows that overreach, the features with which the log odds never rise
    "as it is": (SETTINGS, 5, 0.02, GOAL),
    "none that overreach": (SETTINGS, 5, 0.0, GOAL),
    "nor a constraint": (SETTINGS, 5, 0.0, ()),
    "nor more than 2 copies": (SETTINGS, 2, 0.0, ()),
    "as it was, 520 trees": (BEFORE, 2, 0.0, ()),
    "faster: 200 trees": (SETTINGS | {"n_estimators": 200, "learning_rate": 0.12}, 5, 0.02, GOAL),
    "faster: 160 trees of depth 6": (SETTINGS | {"n_estimators": 160, "learning_rate": 0.12, "max_depth": 6}, 5, 0.02, GOAL),
}

if __name__ == "__main__":
    campaigns = pd.read_parquet(Path(sys.argv[1]) / "artifacts" / "campaigns.parquet")
    of_all = is_random_sample(campaigns["run_id"], param("population.published"))
    crawl = ~of_all & ~in_single_outcome_subcategory(campaigns, of_all)
    features, _ = feature_table(campaigns, inner_folds=3, rated=of_all, epochs=param("population.epochs"), n_jobs=2)
    y, fold, words = features["success"].to_numpy(), features["fold"].to_numpy(), vocabulary(features)
    run = campaigns["run_id"].str.slice(0, 22)
    sources = {name: (run == name).to_numpy() for name in sorted(run.unique())} | {"crawls outside artefact cells": crawl}

    def score(k, settings, copies, overreach):
        X, names = population_matrix(features, k, of_all, words)
        return fit_population(X[fold != k], names, y[fold != k], settings, copies, overreach=overreach)(asked(X[fold == k], names))

    for variant, (settings, copies, overreach, falling) in VARIANTS.items():
        scores, ks = np.empty(len(y)), np.unique(fold)
        with patch.object(population, "GOAL", falling):
            for k, found in zip(ks, Parallel(2, prefer="threads")(delayed(score)(k, settings, copies, overreach) for k in ks)):
                scores[fold == k] = found
        p = calibrated(scores, fit_calibrator(scores[of_all], y[of_all]))
        for source, f in by_source(y, p, fold, {name: rows for name, rows in sources.items() if rows.sum() >= 200}).items():
            print(f"{variant}: {source}: AUC {f['auc']:.4f} ± {f['auc_sd']:.4f}, calibration error {f['calibration_error']:.4f} (n = {f['n']:,})", flush=True)
        for least in (5, 6):
            big = of_all & (features["log_goal"] > least).to_numpy()
            print(f"{variant}: published, over $1e{least}: promised {p[big].mean():.3f}, came true {y[big].mean():.3f} (n = {big.sum():,})", flush=True)
