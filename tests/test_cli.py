"kickstarter-predict, as a creator or a script calls it."
import csv
import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
from conftest import ROOT, call

GAME = {"name": "Fog & Lanterns", "blurb": "A card game.", "goal": 12000, "currency": "USD", "country": "US", "category": "Tabletop Games", "parent": "Games",
        "launched_at": "2024-03-05T16:00", "created_at": "2023-12-20", "days": 30, "staff_pick": False, "video": True}


@pytest.fixture(scope="module")
def predict(reproduced):
    def run(*args, stdin=None, check=True):
        return call("kickstarter-predict", *args, "--model", str(reproduced / "artifacts" / "model"), cwd=reproduced, stdin=stdin, check=check)
    return run


def test_from_options(predict):
    said = predict("--name", "Fog & Lanterns", "--goal", "12000", "--days", "30", "--category", "Tabletop Games", "--launch", "2024-03-05").stdout
    assert "Probability of success:" in said and "Base rate:" in said and " it by " in said and "90 % interval" in said and "Synthetic data" in said


def test_from_json_and_standard_input_alike(predict, tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(GAME))
    from_file = json.loads(predict("--json", str(tmp_path / "c.json"), "--format", "json").stdout)
    from_stdin = json.loads(predict("--json", "-", "--format", "json", stdin=json.dumps(GAME)).stdout)
    assert from_file == from_stdin
    assert 0 < from_file["probability"] < 1 and from_file["model_version"] and from_file["reasons"][0]["text"]
    cheap = json.loads(predict("--json", "-", "--goal", "500", "--format", "json", stdin=json.dumps(GAME)).stdout)
    dear = json.loads(predict("--json", "-", "--goal", "500000", "--format", "json", stdin=json.dumps(GAME)).stdout)
    assert cheap["probability"] > from_file["probability"] > dear["probability"]


def test_unknown_category_falls_back_and_says_so(predict):
    found = json.loads(predict("--json", "-", "--format", "json", stdin=json.dumps(GAME | {"category": "Juggling"})).stdout)
    assert "Juggling" in found["notes"][0] and found["base_of"] == "Games"


@pytest.mark.parametrize("change, named", [
    ({"goal": -1}, "goal = -1"), ({"goal": "a lot"}, "goal = 'a lot'"), ({"goal": None}, "goal = None"), ({"days": 0}, "days = 0"), ({"days": 200}, "days = 200"),
    ({"launched_at": "tomorrow"}, "launched_at = 'tomorrow'"), ({"deadline": "2020-01-01", "days": None}, "deadline = 2020-01-01"), ({"created_at": "2030-01-01"}, "created_at = 2030-01-01"),
    ({"currency": "dollars"}, "currency = 'dollars'"), ({"currency": "QQQ"}, "currency = 'QQQ'"), ({"country": "USA"}, "country = 'USA'"), ({"name": ""}, "name = ''"),
    ({"spotlight": True}, "spotlight: unknown field"), ({"video": "perhaps"}, "video = 'perhaps'"),
])
def test_wrong_fields_are_named(predict, change, named):
    done = predict("--json", "-", stdin=json.dumps(GAME | change), check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert named in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_missing_field_and_bad_files_are_named(predict, tmp_path):
    for args, stdin, named in ((("--name", "A"), None, "goal: missing"), (("--json", "-"), "{", "standard input: not JSON"), (("--json", "-"), "[1]", "no JSON object"), (("--json", "absent.json"), None, "absent.json"),
                               (("--batch", "absent.json", "--out", "x.csv"), None, "absent.json"), (("--batch", "absent.json"), None, "--out")):
        done = predict(*args, stdin=stdin, check=False)
        assert done.returncode == 1 and named in done.stderr and "Traceback" not in done.stderr


def test_batch_scores_every_project_from_launch_fields_only(predict, tmp_path):
    snapshot = next((ROOT / "sample").glob("*.json.gz"))
    done = predict("--batch", str(snapshot), "--out", str(tmp_path / "scores.csv"))
    rows = list(csv.DictReader(open(tmp_path / "scores.csv")))
    assert rows[0].keys() == {"id", "probability"} and len(rows) == len({r["id"] for r in rows}) == 6000
    assert all(0 < float(r["probability"]) < 1 for r in rows) and "8 lines rejected" in done.stderr
    after = {"state": "live", "spotlight": False, "pledged": 0, "backers_count": 0, "usd_pledged": "0", "is_starrable": True, "state_changed_at": 1, "source_url": None}
    lines = subprocess.run(["zcat", snapshot], capture_output=True, check=True).stdout.splitlines()
    records = {}
    for text in lines:
        try: record = json.loads(text)
        except ValueError: continue
        if isinstance(record, dict) and isinstance(record.get("data"), dict) and "state" in record["data"]: records.setdefault(record["data"].get("id"), record)
    blind = [json.dumps({**r, "data": {**r["data"], **after}}) for r in records.values()]
    (tmp_path / "blind.json").write_text("\n".join(blind))
    predict("--batch", str(tmp_path / "blind.json"), "--out", str(tmp_path / "blind.csv"))
    seen, unseen = ({r["id"]: r["probability"] for r in csv.DictReader(open(tmp_path / f))} for f in ("scores.csv", "blind.csv"))
    same = [i for i in unseen if records[int(i)]["data"].get("launched_at")]
    assert len(same) > 5900 and sum(seen[i] == unseen[i] for i in same) / len(same) > 0.99  # a repeat may have been listed with another text


HEAVY = ("boto3", "matplotlib", "optuna", "pandas", "pandera", "pyarrow", "scipy", "sklearn", "sqlalchemy", "statsmodels", "xgboost", "yaml")
ONE = """import sys
from kickstarter_predictor.predict import main
assert main(["--name", "Fog & Lanterns", "--blurb", "A card game.", "--goal", "12000", "--days", "30", "--category", "Tabletop Games", "--launch", "2024-03-05", "--model", "packaged"]) == 0"""
MANY = f"""import sys
from kickstarter_predictor.predict import load_predictor, to_campaign
from kickstarter_predictor.form import curves
packaged = load_predictor("packaged")
print(sum(len(c["p"]) for c in curves(to_campaign({GAME}), packaged.about, packaged).values()), "times a Probability of success: ")"""


@pytest.mark.parametrize("code", [ONE, MANY])
def test_an_answer_waits_for_no_module_that_it_does_not_use(code):
    done = call(sys.executable, "-c", code + "\nprint(*sys.modules, file=sys.stderr)", cwd=ROOT)
    loaded = set(done.stderr.split())
    assert "Probability of success: " in done.stdout and {"numpy", "pydantic"} <= loaded
    assert all(map(find_spec, HEAVY)) and not loaded.intersection(HEAVY)


def test_a_folder_that_is_no_model_is_named(tmp_path):
    done = call("kickstarter-predict", "--name", "A", "--goal", "1", "--days", "30", "--model", str(tmp_path), cwd=tmp_path, check=False)
    assert done.returncode == 1 and str(tmp_path) in done.stderr and "holds no model" in done.stderr
