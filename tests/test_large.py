"More campaigns than the samples that the stages learn from: said in the reports, the same on every run, and nothing changes where there are fewer."
import json
import re

import numpy as np
import pandas as pd
import pytest
from kickstarter_predictor.acquire import acquire
from kickstarter_predictor.clean import clean
from kickstarter_predictor.features import encoder_input, feature_table, read_features, sample_rows
from kickstarter_predictor.inputs import LEARNED
from kickstarter_predictor.resources import needs, outlook
from kickstarter_predictor.sample import snapshot_lines


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    (folder / "a.json").write_bytes("\n".join(snapshot_lines(1500, seed=3)).encode())
    acquire(folder / "a.json", folder / "projects.parquet", quiet=True)
    return clean(pd.read_parquet(folder / "projects.parquet"))[0]


def test_words_are_learned_from_a_sample_that_is_the_same_on_every_run(campaigns):
    options = dict(n_folds=3, inner_folds=2, bits=12, ks=[0], text_rows=500)
    first, again, side_by_side = (feature_table(campaigns, **options, n_jobs=n)[0] for n in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    pd.testing.assert_frame_equal(first, side_by_side, check_exact=True)
    other = feature_table(campaigns, **options, seed=1)[0]
    assert (other["name_text@0"] != first["name_text@0"]).any()
    assert first["name_text@0"].notna().all()  # also of those that nothing was learned from


def test_small_data_are_not_sampled(campaigns):
    options = dict(n_folds=3, inner_folds=2, bits=12, ks=[0])
    whole, limited = (feature_table(campaigns, **options, text_rows=rows)[0] for rows in (None, len(campaigns)))
    pd.testing.assert_frame_equal(whole, limited, check_exact=True)
    assert (sample_rows(len(campaigns), len(campaigns)) == np.arange(len(campaigns))).all()


def test_rates_are_learned_from_all(campaigns):
    options = dict(n_folds=3, inner_folds=2, bits=12, ks=[0, "all"])
    whole, limited = (feature_table(campaigns, **options, text_rows=rows)[0] for rows in (None, 300))
    for name in LEARNED:
        if name not in ("name_text", "blurb_text"): assert whole[f"{name}@all"].equals(limited[f"{name}@all"])


def test_counted_texts_do_not_grow_with_the_campaigns(campaigns):
    twice = pd.concat([campaigns, campaigns.assign(id=campaigns["id"] + 10**9)], ignore_index=True)
    size = lambda table, rows: sum(m.nnz for block in encoder_input(table, 12, rows).counts.values() for m in block)
    assert size(twice, None) == 2 * size(campaigns, None)
    assert size(twice, 400) < size(campaigns, None) / 2


def test_a_table_is_read_by_column(campaigns, tmp_path):
    table, _ = feature_table(campaigns, n_folds=3, inner_folds=2, bits=10)
    table.to_parquet(tmp_path / "features.parquet")
    assert {c for c in read_features(tmp_path / "features.parquet", [1]) if "@" in c} == {f"{name}@1" for name in LEARNED}


def test_a_machine_that_is_too_small_is_told_what_to_do():
    memory, _ = needs(250_000)
    assert memory <= 3 and needs(10**6).memory > memory
    text, enough = outlook(250_000, free=memory - 0.5, cores=2)
    assert not enough
    fraction = float(re.search(r"acquire\.sample_fraction to ([\d.]+) in params\.yaml", text)[1])
    assert needs(int(250_000 * fraction)).memory <= memory - 0.5
    assert all(name in text for name in ("features.text_rows", "evaluate.max_rows", "population.text_rows"))
    assert outlook(250_000, free=memory + 0.5, cores=2)[1]


def test_reports_say_what_was_sampled(on_samples):
    clone, printed = on_samples
    assert re.search(r"acquire: 2,200 projects: the run will need about [\d.]+ GB of memory", printed)
    n = len(pd.read_parquet(clone / "artifacts" / "campaigns.parquet", columns=["id"]))
    metrics = json.loads((clone / "reports" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["protocols"]["shuffled"]["n"] == 1200 and metrics["all_campaigns"]["n"] == n > 1200
    report = (clone / "reports" / "26_evaluate.md").read_text(encoding="utf-8")
    assert f"random sample of 1,200 of the {n:,} campaigns (`evaluate.max_rows`)" in report
    assert "learned from a random sample of 1,500 (`features.text_rows`)" in (clone / "reports" / "23_features.md").read_text(encoding="utf-8")
    low, high = metrics["protocols"]["shuffled"]["families"][metrics["chosen"]]["low"], 1
    assert low < metrics["all_campaigns"]["auc"] < high


def test_the_chosen_model_is_of_all_campaigns(on_samples):
    clone, _ = on_samples
    metrics = json.loads((clone / "reports" / "metrics.json").read_text(encoding="utf-8"))
    about = json.loads((clone / "artifacts" / "model" / "crawl" / "model.json").read_text(encoding="utf-8"))
    n = metrics["all_campaigns"]["n"]
    assert about["figures"]["n"] == about["base_rates"]["all"]["n"] == sum(sum(c.values()) for c in metrics["confusion"].values()) == n


def test_bars_are_for_a_terminal(on_samples):
    _, printed = on_samples
    assert "it/s" not in printed and "%|" not in printed
