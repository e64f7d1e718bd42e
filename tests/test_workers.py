"Several workers at one search, killed in the middle of it: the same study as one process makes, by way of real databases and a journal file."
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
import yaml
from support.servers import PASSWORD
from sqlalchemy import make_url

from kickstarter_predictor.metrics import auc
from kickstarter_predictor.inputs import CATEGORICAL, NUMBERS
from kickstarter_predictor.features import LEARNED
from kickstarter_predictor.tune import (
    FAMILIES, finished, fit_blend, fit_family, load_search, main, make_fold, open_storage,
    run_search,
)

ROOT = Path(__file__).parents[1]
PARAMS = {"families": ["XGBoost", "logistic regression"], "trials": 4, "n_folds": 3, "max_rows": 20000, "threads": 1, "scheduler": None, "n_jobs": 1, "storage": None, "heartbeat_timeout": 4, "seed": 0}


def features(n=2400, seed=0):
    "A table as 23_features makes it, of noise and a few columns that tell."
    rng = np.random.default_rng(seed)
    table = {c: rng.normal(size=n).astype(np.float32) for c in [*NUMBERS, *(f"{c}@{k}" for c in LEARNED for k in range(4))]}
    table |= {c: rng.choice(list("abcdef"), n) for c in CATEGORICAL}
    told = sum(table[c] for c in NUMBERS[:6]) + table[NUMBERS[6]] * table[NUMBERS[7]] + (table["category"] == "a")
    return pd.DataFrame(table | {"fold": np.arange(n) % 4, "success": (told + rng.normal(0, 3, n) > 0).astype(int)})


HOW = ("threads", "scheduler", "n_jobs", "storage", "heartbeat_timeout")


class Checkout:
    "A folder with all that the stage and a worker need."

    def __init__(self, folder, table, **params):
        self.folder = folder
        for name in ("artifacts", "nbs"):
            (folder / name).mkdir(parents=True)
        for name in ("kickstarter_predictor", "nbs/25_tune.ipynb", "dvc.yaml"):
            (folder / name).symlink_to(ROOT / name)
        table.to_parquet(folder / "artifacts" / "features.parquet")
        (folder / "artifacts" / "provenance.json").write_text(json.dumps({"header": "made up"}), encoding="utf-8")
        self.params(**params)

    def params(self, **changed):
        values = PARAMS | changed
        how = {name: values.pop(name) for name in HOW}
        (self.folder / "params.yaml").write_text(yaml.safe_dump({"tune": values, "how": {"tune": how}}), encoding="utf-8")
        return self

    def command(self, *args, **env):
        return [sys.executable, "-m", *args], {"cwd": self.folder, "env": {**os.environ, "PYTHONPATH": "", **env}, "text": True}

    def run(self, *args, **env):
        command, options = self.command(*args, **env)
        return subprocess.run(command, capture_output=True, **options)

    def worker(self, **env):
        command, options = self.command("kickstarter_predictor.tune", "worker", **env)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def stage(self, **env):
        "The bytes of what the stage leaves."
        done = self.run("kickstarter_predictor.stage", "tune", **env)
        assert done.returncode == 0, done.stderr
        return {name: (self.folder / name).read_bytes() for name in ("artifacts/study.csv", "artifacts/best.json", "reports/25_tune.md")}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    "What one process finds, in memory."
    return Checkout(tmp_path_factory.mktemp("alone") / "x", features()).stage()


@lru_cache(maxsize=1)
def opened(where):
    return open_storage(where)


def find_studies(where):
    storage = opened(where)
    return {s.study_name: optuna.load_study(study_name=s.study_name, storage=storage) for s in storage.get_all_studies()}


def stop_in_a_trial(process, where):
    "Stop `process` between the first and the last fold of a trial, to be killed there; the trial's study and number in the plan."
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        for name, study in find_studies(where).items():
            for t in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
                if t.user_attrs.get("worker", "").endswith(f":{process.pid}") and t.intermediate_values and "scores" not in t.user_attrs:
                    return name, t.user_attrs["number"]
        process.send_signal(signal.SIGCONT)
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"never seen in a trial: {process.communicate()}")


def ended(process):
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return out, err


def but_for_storage(files):
    "The hashes of `files`, but for the line of the report that names the storage."
    return {name: hashlib.sha256(b"".join(line for line in data.splitlines(True) if not line.startswith(b"| storage |"))).hexdigest() for name, data in files.items()}


def settled(where):
    "{study: {number: (state, scores)}} of the trials that are done."
    return {n: {k: (t.state.name, t.user_attrs["scores"]) for k, t in finished(s).items()} for n, s in find_studies(where).items()}


@pytest.fixture(scope="module")
def storages(tmp_path_factory, servers):
    "A function that gives the address of a new storage of a kind."

    def new(kind):
        if kind == "journal":
            return f"journal:{tmp_path_factory.mktemp('journal')}/study"
        return servers(kind.lower()).empty().replace(" ", "%20")

    return new


@pytest.mark.parametrize("kind", ["journal", "PostgreSQL", "MariaDB"])
def test_a_worker_killed_in_a_trial_changes_nothing(storages, kind, alone, tmp_path):
    where = storages(kind)
    checkout = Checkout(tmp_path / "x", features(), storage=where)
    first = checkout.worker()
    name, number = stop_in_a_trial(first, where)
    second = checkout.worker()
    while not any(t.user_attrs.get("worker", "").endswith(f":{second.pid}") for s in find_studies(where).values() for t in s.trials):
        assert second.poll() is None, second.communicate()
        time.sleep(0.05)
    first.kill()  # -9
    first.wait()
    out, err = ended(second)
    assert "done" in out and "no sign of life" in err
    states = [t.state.name for t in find_studies(where)[name].trials if t.user_attrs.get("number") == number]
    assert states.count("FAIL") >= 1 and states[-1] in ("COMPLETE", "PRUNED"), "the dead worker's trial was run again"
    assert all({*done} == {*range(4)} for done in settled(where).values())
    assert but_for_storage(found := checkout.stage()) == but_for_storage(alone)
    assert ("set KICKSTARTER_STORAGE_PASSWORD instead" in err) == (kind != "journal")
    assert not any(secret in text for secret in (PASSWORD, "ss%3A") for text in (err, *(b.decode() for b in found.values())))


@pytest.mark.parametrize("kind", ["journal", "PostgreSQL"])
def test_a_search_goes_on_after_all_were_killed(storages, kind, alone, tmp_path, monkeypatch):
    where = storages(kind)
    if kind != "journal":
        where = make_url(where)._replace(password=None).render_as_string()  # as it should stand there
        monkeypatch.setenv("KICKSTARTER_STORAGE_PASSWORD", PASSWORD)
    checkout = Checkout(tmp_path / "x", features(), storage=where)
    workers = []
    for _ in range(2):
        workers.append(checkout.worker())
        stop_in_a_trial(workers[-1], where)
    for process in workers:
        process.kill()
        process.wait()
    half = settled(where)
    assert any(len(done) < 4 for done in half.values())
    ended(checkout.worker())
    whole = settled(where)
    assert all(whole[n][k] == kept for n, done in half.items() for k, kept in done.items()), "what was done stays"
    assert but_for_storage(checkout.stage()) == but_for_storage(alone)


def test_other_data_and_settings_do_not_join(storages, tmp_path, monkeypatch):
    where = storages("journal")
    few = {"families": ["logistic regression"], "trials": 2, "storage": where}
    for i, (table, changed) in enumerate([(features(400), {}), (features(401), {}), (features(400, seed=1), {}), (features(400), {"seed": 1}), (features(400), {"trials": 3})]):
        monkeypatch.chdir(Checkout(tmp_path / f"{i}", table, **few | changed).folder)
        assert main(["worker"]) == 0
    assert sorted(len(done) for done in settled(where).values()) == [2, 2, 2, 3], "only the last, with a trial more, joined the first"


def test_a_worker_that_slept_is_not_missed(alone, tmp_path):
    where = f"journal:{tmp_path}/study"
    checkout = Checkout(tmp_path / "x", features(), storage=where)
    first = checkout.worker()
    while not any(t.intermediate_values for s in find_studies(where).values() for t in s.trials):
        time.sleep(0.05)
    first.send_signal(signal.SIGSTOP)
    second = checkout.worker()
    while not any(t.state.name == "FAIL" and "worker" in t.user_attrs for s in find_studies(where).values() for t in s.trials):
        time.sleep(0.05)
    first.send_signal(signal.SIGCONT)
    ended(first), ended(second)
    assert but_for_storage(checkout.stage()) == but_for_storage(alone)


@pytest.mark.parametrize(
    "where, said",
    [
        ("postgresql://me:hunter2@127.0.0.1:1/db", "the database on 127.0.0.1 does not serve"),
        ("mysql://me:hunter2@127.0.0.1:1/db", "the database on 127.0.0.1 does not serve"),
        ("oracle://me:hunter2@127.0.0.1/db", "no driver for oracle"),
        ("me:hunter2@127.0.0.1", "neither an address"),
        ("journal:artifacts", "the file cannot be used"),
        (None, "how.tune.storage is null"),
    ],
)
def test_a_storage_that_does_not_serve(tmp_path, monkeypatch, capsys, where, said):
    monkeypatch.chdir(Checkout(tmp_path / "x", features(400), storage=where).folder)
    assert main(["worker"]) == 1
    out, err = capsys.readouterr()
    last = err.strip().splitlines()[-1]
    assert last.startswith("worker: params.yaml: how.tune.storage") and said in last and "hunter2" not in out + err


def test_no_features_and_no_such_command(tmp_path):
    checkout = Checkout(tmp_path / "x", features(400), storage=f"journal:{tmp_path}/study")
    (checkout.folder / "artifacts" / "features.parquet").unlink()
    done = checkout.run("kickstarter_predictor.tune", "worker")
    assert (done.returncode, done.stderr) == (1, "worker: artifacts/features.parquet is missing; run `dvc repro features`, or copy it from the checkout that has it\n")
    assert checkout.run("kickstarter_predictor.tune", "labour").returncode == 2


@pytest.fixture(scope="module")
def cluster():
    "The address of a Dask cluster of two worker processes."
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_trains_the_same_model(cluster):
    data = make_fold(features(40_000), 0)
    settings = FAMILIES["XGBoost"].start | {"n_estimators": 200, "subsample": 1.0}  # which rows a tree sees is drawn by each worker
    here, there = (fit_family("XGBoost", data.X_train, data.y_train, settings, scheduler=s)(data.X_test) for s in (None, cluster))
    assert auc(data.y_test, here) > 0.7 and abs(auc(data.y_test, here) - auc(data.y_test, there)) < 1e-3
    assert np.corrcoef(here, there)[0, 1] > 0.99
    blend = fit_blend({"XGBoost": 1.0}, data.X_train, data.y_train, {"XGBoost": settings | {"n_estimators": 20}}, scheduler=cluster)
    assert len(blend.parts[0][1].booster.get_dump()) == 20


def test_a_search_on_a_cluster(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(Checkout(tmp_path / "x", features(2000), scheduler=cluster, storage=f"journal:{tmp_path}/study", families=["XGBoost"], trials=1).folder)
    assert main(["worker"]) == 0
    (there,) = settled(f"journal:{tmp_path}/study").values()
    here = finished(run_search(load_search(["XGBoost"], 1, 3, 20000, 0, 1))["XGBoost"])
    assert np.allclose(there[0][1], here[0].user_attrs["scores"], atol=0.02) and there[0][1] != here[0].user_attrs["scores"]


def test_no_cluster(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(Checkout(tmp_path / "x", features(400), scheduler="tcp://127.0.0.1:1", storage=f"journal:{tmp_path}/study").folder)
    assert main(["worker"]) == 1 and "no Dask scheduler answers there" in capsys.readouterr().err.splitlines()[-1]
