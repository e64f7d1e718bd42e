"""Whole runs of the pipeline, each made once.

They take minutes. The ones that the collected tests ask for run one after another beside the tests, and the tests that need them come last."""
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from kickstarter_predictor.sample import snapshot_lines
from kickstarter_predictor.scratch import scratch_clone

from .flaky import Site
from .hostile import snapshot
from .project import ROOT, SHARED, call


def _reproduce(folder: Path):
    with scratch_clone(ROOT, as_it_is=False) as clone:
        shutil.copy(ROOT / "tests" / "support" / "sitecustomize.py", clone)  # which notes what the stages open
        call("dvc", "repro", "--force", cwd=clone, env={"PYTHONPATH": str(clone)})
        (clone / "sitecustomize.py").unlink()
        shutil.move(clone.parent / "opened", folder / "opened")
        shutil.move(clone, folder / "reproduced")
    return folder / "reproduced"


def _verify(folder: Path):
    return call("python", "-m", "kickstarter_predictor.scratch", "verify", "--lock", str(folder / "dvc.lock"), cwd=ROOT).stdout, folder / "dvc.lock"


def _on_real_campaigns(folder: Path):
    return folder / "real", call("make", "-s", "run", f"DATA={SHARED}/scraped_2017_2024.json.gz", f"OUT={folder / 'real'}", cwd=ROOT).stdout


def _change_params(clone: Path, changes: dict[str, dict]):
    params = yaml.safe_load((clone / "params.yaml").read_text(encoding="utf-8"))
    changed = {name: values | changes.get(name, {}) for name, values in params.items()}
    (clone / "params.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")


def _on_hostile_campaigns(folder: Path):
    "Less of everything, for what is looked at is how it is shown."
    less = {"tune": {"trials": 1, "families": ["logistic regression", "XGBoost"]}, "evaluate": {"resamples": 20, "curve": [0.5]}, "population": {"n_estimators": 20, "epochs": 2},
            "outcomes": {"visitors": 90}, "experiment": {"trials": 100}, "monitor": {"trials": 100}}
    with scratch_clone(ROOT, as_it_is=True) as clone:
        _change_params(clone, less)
        (folder / "data").mkdir()
        snapshot(folder / "data")
        call("dvc", "import-url", "-q", "--force", str(folder / "data"), "data", cwd=clone)
        call("dvc", "unfreeze", "-q", "data.dvc", cwd=clone)
        call("dvc", "repro", cwd=clone)
        return Path(shutil.move(clone / "reports", folder / "reports"))


def _on_other_data(folder: Path):
    out, site = folder / "out", Site()
    site.files["small.json"] = "\n".join(snapshot_lines(1500, seed=3)).encode()
    before = call("git", "status", "--porcelain", cwd=ROOT).stdout
    (out / "reports").mkdir(parents=True)
    (out / "reports" / "old.txt").write_text("an earlier result", encoding="utf-8")
    (out / ".kickstarter-run").write_text("reports/old.txt\n", encoding="utf-8")
    (out / "mine.txt").write_text("keep", encoding="utf-8")
    try:
        return out, call("make", "-s", "run", f"DATA={site.url('small.json')}", f"OUT={out}", cwd=ROOT).stdout, before
    finally:
        site.stop()


def _on_samples(folder: Path):
    with scratch_clone(ROOT, as_it_is=True) as clone:
        (clone / "data").mkdir()
        (clone / "data" / "a.json").write_bytes("\n".join(snapshot_lines(2200, seed=3)).encode())
        _change_params(clone, {"features": {"text_rows": 1500}, "tune": {"trials": 1, "families": ["logistic regression", "XGBoost"]}, "evaluate": {"max_rows": 1200}})
        run = lambda stage: call(sys.executable, "-m", "kickstarter_predictor.stage", stage, cwd=clone, env={"PYTHONPATH": str(clone)})
        printed = run("acquire").stderr
        for stage in ("clean", "explore", "features", "tune", "evaluate"): run(stage)
        return Path(shutil.move(clone, folder / "clone")), printed


LONG = {"on_hostile_campaigns": _on_hostile_campaigns, "on_real_campaigns": _on_real_campaigns, "reproduced": _reproduce, "verified": _verify, "on_samples": _on_samples,
        "on_other_data": _on_other_data}


def needed_by(item) -> list[str]:
    skipped = any(m.args[0] for m in item.iter_markers("skipif"))
    return [] if skipped else [name for name in LONG if name in item.fixturenames]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: max((1 + list(LONG).index(name) for name in needed_by(item)), default=0))


@pytest.fixture(scope="session", autouse=True)
def long_runs(request, tmp_path_factory):
    wanted = {name for item in request.session.items for name in needed_by(item)}
    with ThreadPoolExecutor(1) as pool:
        yield {name: pool.submit(LONG[name], tmp_path_factory.mktemp(name)) for name in LONG if name in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def reproduced(long_runs):
    "A clone of what is committed, reproduced by force: with artifacts/, reports/ and a dvc.lock of its own."
    return long_runs["reproduced"].result()


@pytest.fixture(scope="session")
def verified(long_runs):
    "What `make verify` printed, and the dvc.lock of its run."
    return long_runs["verified"].result()


@pytest.fixture(scope="session")
def on_real_campaigns(long_runs):
    "(the folder of results, what was printed) of `make run` on the real campaigns of a crawl."
    return long_runs["on_real_campaigns"].result()


@pytest.fixture(scope="session")
def on_hostile_campaigns(long_runs):
    "The reports of a run on a snapshot in which every text is hostile."
    return long_runs["on_hostile_campaigns"].result()


@pytest.fixture(scope="session")
def on_samples(long_runs):
    "A checkout whose stages up to `evaluate` ran with samples smaller than the data: (its folder, what acquire printed)."
    return long_runs["on_samples"].result()


@pytest.fixture(scope="session")
def on_other_data(long_runs):
    "(the folder of results, what was printed, `git status` of this checkout before) of `make run` on a URL, into a folder that holds an earlier run's results and a file of the user's."
    return long_runs["on_other_data"].result()
