"A pipeline of the same shape as the project's that runs in no time: its own `acquire`, and an AUC that the data themselves dictate."
import gzip
import json

import pytest
import yaml

from .flaky import Site
from .project import call, git

ACQUIRE = """
import json, pathlib
from kickstarter_predictor.acquire import acquire, describe
from kickstarter_predictor.core import InputError
import sys
try: provenance, _ = acquire(pathlib.Path("data"), pathlib.Path("artifacts/projects.parquet"), quiet=True)
except InputError as e: sys.exit(f"acquire: {e}")
pathlib.Path("artifacts/provenance.json").write_text(json.dumps(describe(provenance)))
"""
EVALUATE = """
import json, pathlib, pandas as pd
about = json.loads(pathlib.Path("artifacts/provenance.json").read_text())
goal = pd.read_parquet("artifacts/projects.parquet")["goal"].max()
f = lambda auc: {"auc": auc, "auc_sd": 0.01, "pr_auc": 0.9, "n": float(about["projects"])}
pathlib.Path("reports").mkdir(exist_ok=True)
pathlib.Path("reports/metrics.json").write_text(json.dumps({"data": about["header"], "projects": about["projects"], "chosen": "XGBoost", "families": {"XGBoost": f(goal / 1e9), "logistic regression": f(0.8)}}))
"""
DVC = {"stages": {
    "acquire": {"cmd": "python acquire.py", "deps": ["acquire.py", "data"], "outs": [{f"artifacts/{o}": {"persist": True}} for o in ("projects.parquet", "provenance.json")]},
    "evaluate": {"cmd": "python evaluate.py", "deps": ["evaluate.py", "artifacts/projects.parquet", "artifacts/provenance.json"], "metrics": [{"reports/metrics.json": {"cache": False, "persist": True}}]},
    "other": {"cmd": "cp acquire.py artifacts/other", "deps": ["acquire.py"], "outs": ["artifacts/other"]}}}
PROJECT = {"name": "A game", "state": "failed", "goal": 1000, "launched_at": 1548979200, "deadline": 1551571200}


def crawl(n, auc, **fields):
    "A snapshot of `n` projects, of which the small pipeline finds the ROC AUC `auc`."
    record = lambda i: {"run_id": "Kickstarter_2024-07-11T03_20_04_541Z", "data": {"id": i, **PROJECT, "goal": round(auc * 1e9), **fields}}
    return gzip.compress("\n".join(json.dumps(record(i)) for i in range(1, n + 1)).encode(), mtime=0)


@pytest.fixture(scope="session")
def site():
    site = Site()
    yield site
    site.stop()


@pytest.fixture(scope="session")
def small(site, tmp_path_factory):
    "The small pipeline, reproduced and committed; its data are imported from `site`."
    folder = tmp_path_factory.mktemp("small") / "project"
    for name in ("nbs", "artifacts"): (folder / name).mkdir(parents=True)
    limits = {"refresh": {"max_shrink": 0.2, "max_auc_drop": 0.02}}
    for name, text in {"params.yaml": yaml.safe_dump(limits), "dvc.yaml": yaml.safe_dump(DVC), "acquire.py": ACQUIRE, "evaluate.py": EVALUATE, "nbs/x": "", ".gitignore": "/artifacts/\n/data\n"}.items():
        (folder / name).write_text(text, encoding="utf-8")
    site.files["a.json.gz"] = crawl(100, 0.9)
    git("init", "-q", cwd=folder)
    call("dvc", "init", "-q", cwd=folder)
    call("dvc", "import-url", "-q", site.url("a.json.gz"), "data", cwd=folder)
    call("dvc", "repro", "-q", cwd=folder)
    git("add", ".", cwd=folder)
    git("commit", "-qm", "x", cwd=folder)
    return folder
