"README's commands for DVC on S3, on a small pipeline: push, pull, import-url and update, and what becomes of them when something fails."
import csv
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from support.pipeline import crawl
from support.project import ROOT, call, git
from support.s3 import KEYS
from support.flaky import proxied
from test_buckets import killed

DVC = str(Path(sys.executable).with_name("dvc"))
NO_KEYS = {name: "" for name in KEYS if name.startswith("AWS_") and "KEY" in name}  # config.local must do


def remote(project, url, bucket, secret=KEYS["AWS_SECRET_ACCESS_KEY"], add=True):
    if add:
        call("dvc", "remote", "add", "-q", "-f", "-d", "store", f"s3://{bucket}/kickstarter", cwd=project)
        call("dvc", "remote", "modify", "-q", "store", "endpointurl", url, cwd=project)
    call("dvc", "remote", "modify", "-q", "--local", "store", "access_key_id", KEYS["AWS_ACCESS_KEY_ID"], cwd=project)
    call("dvc", "remote", "modify", "-q", "--local", "store", "secret_access_key", secret, cwd=project)


def configured(project, secret): (project / ".dvc" / "config.local").write_text((project / ".dvc" / "config.local").read_text(encoding="utf-8").replace(KEYS["AWS_SECRET_ACCESS_KEY"], secret), encoding="utf-8")


@pytest.fixture
def project(small, tmp_path): return shutil.copytree(small, tmp_path / "project", symlinks=True)


@pytest.mark.parametrize("s3", ["seaweed"], indirect=True)
def test_push_and_pull(project, s3, bucket, tmp_path):
    remote(project, s3.url, bucket)
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in (project / ".dvc" / "config").read_text(encoding="utf-8") and "config.local" not in git("status", "--porcelain", cwd=project)
    git("commit", "-qam", "remote", cwd=project)
    good = (project / ".dvc" / "config.local").read_text(encoding="utf-8")
    configured(project, "wrong")
    done = call("dvc", "push", cwd=project, env=NO_KEYS, check=False)
    assert done.returncode and ("Forbidden" in done.stderr or "denied" in done.stderr or "SignatureDoesNotMatch" in done.stderr), done.stderr
    assert not s3.client.list_objects_v2(Bucket=bucket).get("Contents")
    (project / ".dvc" / "config.local").write_text(good, encoding="utf-8")
    big = project / "big"
    big.write_bytes(bytes(range(256)) * 40_000)
    call("dvc", "add", "-q", "big", cwd=project)
    with proxied(s3.port, rate=6 << 20) as proxy:
        command = [DVC, "--cd", str(project), "push", "-q", "-j", "1", "-r", "store"]
        (project / ".dvc" / "config.local").write_text(good + f"    endpointurl = http://127.0.0.1:{proxy.port}\n", encoding="utf-8")
        killed(command, lambda: proxy.seen > 2 << 20)
    (project / ".dvc" / "config.local").write_text(good, encoding="utf-8")
    call("dvc", "push", "-q", cwd=project, env=NO_KEYS)
    git("add", "big.dvc", cwd=project)
    git("commit", "-qam", "big", cwd=project)
    other = tmp_path / "other"
    git("clone", "-q", str(project), str(other), cwd=tmp_path)
    remote(other, s3.url, bucket, add=False)
    call("dvc", "pull", "-q", cwd=other, env=NO_KEYS)
    assert all((other / p).read_bytes() == (project / p).read_bytes() for p in ("data", "big", "artifacts/provenance.json", "artifacts/projects.parquet"))
    said = call("dvc", "repro", cwd=other, env=NO_KEYS).stdout
    assert "Running stage" not in said and "up to date" in said and git("status", "--porcelain", cwd=other) == ""


@pytest.mark.parametrize("s3", ["rclone"], indirect=True)
def test_import_of_a_prefix_and_update(project, s3, bucket):
    env = {"AWS_ENDPOINT_URL": s3.url}
    put = lambda key, data: s3.client.put_object(Bucket=bucket, Key=key, Body=data)
    put("raw/Kickstarter_2024-06.json.gz", crawl(50, 0.9))
    (project / "data").unlink()
    call("dvc", "import-url", "-q", "--force", f"s3://{bucket}/raw", "data", cwd=project, env=env)
    assert [p.name for p in (project / "data").iterdir()] == ["Kickstarter_2024-06.json.gz"]
    call("dvc", "repro", "-q", cwd=project, env=env)
    before = (project / "data.dvc").read_text(encoding="utf-8")
    put("raw/Kickstarter_2024-07.json.gz", crawl(60, 0.9, name="newer"))
    call("dvc", "update", "-q", "data.dvc", cwd=project, env=env)
    assert (project / "data.dvc").read_text(encoding="utf-8") != before and len(list((project / "data").iterdir())) == 2
    said = call("dvc", "repro", cwd=project, env=env).stdout
    assert "Running stage 'acquire'" in said and "Running stage 'evaluate'" in said and "Running stage 'other'" not in said
    assert '"projects": 60' in (project / "artifacts" / "provenance.json").read_text(encoding="utf-8")


def test_import_of_an_object_and_what_fails(project, rclone):
    env = {"AWS_ENDPOINT_URL": rclone.url}
    rclone.client.create_bucket(Bucket="objects")
    rclone.client.put_object(Bucket="objects", Key="a.json.gz", Body=crawl(50, 0.9))
    call("dvc", "import-url", "-q", "--force", "s3://objects/a.json.gz", "data", cwd=project, env=env)
    kept = {p: (project / p).read_bytes() for p in ("data", "data.dvc", "dvc.lock")}
    assert kept["data"] == crawl(50, 0.9)
    rclone.client.delete_object(Bucket="objects", Key="a.json.gz")
    done = call("dvc", "update", "data.dvc", cwd=project, env=env, check=False)
    assert done.returncode and "s3://objects/a.json.gz" in done.stderr and "Traceback" not in done.stderr
    call("dvc", "checkout", "-q", "data.dvc", cwd=project)  # DVC has taken `data` away; they are in its cache
    assert {p: (project / p).read_bytes() for p in kept} == kept


def test_new_data_reach_every_stage_that_stands_on_them():
    "By what dvc.yaml says: all but the stages that do not read the data, and nothing twice."
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    made = lambda s: {o if isinstance(o, str) else next(iter(o)) for kind in ("outs", "metrics") for o in s.get(kind, [])}
    stale, reached = {"data"}, set()
    while more := {n for n, s in stages.items() if n not in reached and any(d == x or d.startswith(x + "/") or x.startswith(d + "/") for d in s["deps"] for x in stale)}:
        reached |= more
        stale |= set().union(*(made(stages[n]) for n in more))
    assert {"sample", "stage", "scratch"}.isdisjoint(reached) and {"acquire", "clean", "features", "tune", "evaluate", "population", "predict", "model_card"} <= reached


def test_experiments_as_documented(project):
    "docs/reproducibility.md: one experiment, a queue of three, and one of them applied."
    params = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8")) | {"tune": {"trials": 3}}
    (project / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    stages = yaml.safe_load((project / "dvc.yaml").read_text(encoding="utf-8"))
    stages["stages"]["tune"] = {"cmd": "grep trials params.yaml > artifacts/tuned", "params": ["tune"], "outs": ["artifacts/tuned"]}
    (project / "dvc.yaml").write_text(yaml.safe_dump(stages), encoding="utf-8")
    call("dvc", "repro", "-q", cwd=project)
    git("add", "--all", cwd=project)
    git("commit", "-qm", "tune", cwd=project)
    lines = (ROOT / "docs" / "reproducibility.md").read_text(encoding="utf-8").splitlines()
    commands = [line.partition(" #")[0].split() for line in lines if line.startswith("dvc exp ")]
    assert [c[2] for c in commands] == ["run", "run", "run", "show", "apply"]
    call(*commands[0], cwd=project)
    assert (project / "artifacts" / "tuned").read_text(encoding="utf-8").strip() == "trials: 5"
    call(*commands[1], cwd=project)
    call(*commands[2], cwd=project)
    shown = {row["tune.trials"]: row["Experiment"] for row in csv.DictReader(call(*commands[3], "--csv", cwd=project).stdout.splitlines()) if row["Experiment"]}
    assert {"5", "10", "20"} <= shown.keys()
    call(*commands[4][:3], shown["20"], cwd=project)
    assert (project / "artifacts" / "tuned").read_text(encoding="utf-8").strip() == "trials: 20"


def test_figures_fit_a_screen_and_plots_need_no_network(reproduced, tmp_path):
    table = call("dvc", "metrics", "show", cwd=reproduced).stdout
    assert "auc" in table and max(map(len, table.splitlines())) <= 120
    call("dvc", "plots", "show", "-o", str(tmp_path / "plots"), cwd=reproduced)
    page = (tmp_path / "plots" / "index.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2 and "http" not in page


def test_models_have_names():
    artifacts = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["artifacts"]
    outs = {o for s in yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"].values() for out in s["outs"] for o in out}
    assert {a["path"] for a in artifacts.values()} == {"artifacts/model/crawl", "artifacts/model/population"} <= outs
    assert all(a["type"] == "model" and a["desc"] for a in artifacts.values())
