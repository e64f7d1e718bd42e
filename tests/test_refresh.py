"`make refresh`: what is new comes in if it is no worse; else one clear line, and everything as it was."
import json
import shutil

import pytest
import yaml
from support.pipeline import crawl
from support.project import ROOT, call, git
from kickstarter_predictor.refresh import bring_home, share_cache
from kickstarter_predictor.sample import snapshot_lines
from kickstarter_predictor.scratch import scratch_clone
from kickstarter_predictor.core import InputError


@pytest.fixture
def project(small, site, tmp_path):
    site.files["a.json.gz"], site.faults = crawl(100, 0.9), []
    return shutil.copytree(small, tmp_path / "project", symlinks=True)


def refresh(project, *args, check=False): return call("python", "-m", "kickstarter_predictor.refresh", *args, cwd=project, check=check)


def state(project): return {str(p.relative_to(project)): p.read_bytes() for p in project.rglob("*") if p.is_file() and ".git/" not in str(p) and ".dvc/" not in str(p)}


def stopped(project, said, before):
    "A refresh that is stopped: one line, and nothing has changed."
    done = refresh(project)
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.strip().splitlines()) == 1 and said in done.stderr and "last good state" in done.stderr, done.stderr
    assert state(project) == before and git("status", "--porcelain", cwd=project) == ""


def test_a_refresh_that_is_worse_is_stopped_and_the_next_comes_in(project, site, tmp_path):
    before = state(project)
    for data, said in ((crawl(70, 0.9), "70 projects, 30.0% fewer than 100; refresh.max_shrink"), (crawl(100, 0.87), "ROC AUC falls by 0.0300"),
                       (crawl(100, 0.9, state=7), "holds no project: 100 of 100 lines were rejected")):
        site.files["a.json.gz"] = data
        stopped(project, said, before)
    site.files["a.json.gz"], site.faults = crawl(120, 0.91), [{"status": 404}] * 9
    stopped(project, "", before)
    site.faults = []
    done = refresh(project, "--out", str(tmp_path / "out" / "summary.md"), check=True)
    text = (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")
    assert text in done.stdout and "| XGBoost | ROC AUC | 0.9000 | 0.9100 | +0.0100 |" in text and "120 projects" in text and "+20 projects" in text and done.stderr == ""
    assert git("status", "--porcelain", cwd=project).split()[1::2] == ["data.dvc", "dvc.lock", "reports/metrics.json"]
    assert (project / "data").read_bytes() == site.files["a.json.gz"] and json.loads((project / "artifacts" / "provenance.json").read_text(encoding="utf-8"))["projects"] == 120
    assert "up to date" in call("dvc", "status", cwd=project).stdout
    done = refresh(project)
    assert done.returncode == 1 and "is changed and not committed, as are 2 more; commit or stash" in done.stderr
    git("commit", "-qam", "refresh", cwd=project)
    assert "nothing new" in refresh(project, check=True).stdout and "nothing new" in (project / "artifacts" / "refresh.md").read_text(encoding="utf-8")


def test_data_of_ones_own_are_not_overwritten(project, site):
    "Changed by hand and in no cache: worth more than a refresh."
    site.files["a.json.gz"] = crawl(120, 0.91)
    (project / "data").unlink()
    (project / "data").write_bytes(b"mine")
    with scratch_clone(project, as_it_is=False) as clone, pytest.raises(InputError):
        share_cache(project, clone)
        call("dvc", "update", "-q", "data.dvc", cwd=clone)
        bring_home(clone, project)
    assert (project / "data").read_bytes() == b"mine" and git("status", "--porcelain", cwd=project) == ""


@pytest.mark.parametrize("old, new, said", [("0.2", "2.0", "refresh.max_shrink = 2.0"), ("max_shrink", "max_shrnk", "refresh.max_shrnk is unknown")])
def test_wrong_limits(project, old, new, said):
    (project / "params.yaml").write_text((project / "params.yaml").read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    done = refresh(project)
    assert done.returncode == 1 and said in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_make_refresh_of_the_project_itself(copy, site):
    "As far as it is cheap: a crawl that shrank stops after `acquire`."
    for name in ("user.name", "user.email"): git("config", name, "t@t", cwd=copy)
    site.files["small.json"] = "\n".join(snapshot_lines(300, seed=1)).encode()
    call("dvc", "import-url", "-q", "--force", "--no-download", site.url("small.json"), "data", cwd=copy)
    (copy / "data.dvc").write_text((copy / "data.dvc").read_text(encoding="utf-8").replace("outs:\n-", "outs:\n- md5: 0123456789abcdef0123456789abcdef\n ").replace("etag: ", "etag: old"), encoding="utf-8")
    git("add", "-A", cwd=copy)
    git("commit", "-qm", "x", cwd=copy)
    (copy / ".venv" / "bin").mkdir(parents=True)
    (copy / ".venv" / ".ready").touch()
    done = call("make", "-s", "refresh", cwd=copy, check=False)
    assert done.returncode == 2 and "refresh: the new data have 300 projects, 95.0% fewer than 6,000" in done.stderr, done.stderr
    assert git("status", "--porcelain", cwd=copy) == "" and not (copy / "artifacts").exists()


def test_the_workflow_says_what_it_does():
    path = ROOT / ".github" / "workflows" / "refresh.yml"
    flow = yaml.safe_load(path.read_text(encoding="utf-8"))
    on = flow[True]  # YAML 1.1 reads `on` as true
    assert len(on["schedule"]) == 1 and on["schedule"][0]["cron"].split()[3:] == ["*", "*"] and "workflow_dispatch" in on
    assert flow["permissions"] == {} and flow["jobs"]["refresh"]["permissions"] == {"contents": "write", "pull-requests": "write"}
    steps = "\n".join(s.get("run", "") for s in flow["jobs"]["refresh"]["steps"])
    assert "make refresh" in steps and "gh pr create" in steps and "--body-file" in steps
    assert "${{" not in steps, "an expression in a script is an injection: hand it over by env"
    for step in flow["jobs"]["refresh"]["steps"]:
        if "run" in step: call("bash", "-n", "-c", step["run"], cwd=ROOT)
