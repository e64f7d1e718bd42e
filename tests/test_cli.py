"kickstarter-predict, as a creator or a script calls it."
import configparser
import csv
import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from importlib.util import find_spec
from threading import Thread

import pytest
from support.project import ROOT, call
from kickstarter_predictor.predict import main

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
    (tmp_path / "c.json").write_text(json.dumps(GAME), encoding="utf-8")
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
    rows = list(csv.DictReader(open(tmp_path / "scores.csv", encoding="utf-8")))
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
    (tmp_path / "blind.json").write_text("\n".join(blind), encoding="utf-8")
    predict("--batch", str(tmp_path / "blind.json"), "--out", str(tmp_path / "blind.csv"))
    seen, unseen = ({r["id"]: r["probability"] for r in csv.DictReader(open(tmp_path / f, encoding="utf-8"))} for f in ("scores.csv", "blind.csv"))
    creators = Counter((r["data"].get("creator") or {}).get("id") for r in records.values())
    once = lambda r: creators[creator] == 1 if (creator := (r.get("creator") or {}).get("id")) else True  # what a creator's other campaigns came to is known at a later launch
    same = [i for i in unseen if records[int(i)]["data"].get("launched_at") and once(records[int(i)]["data"])]
    assert len(same) > 4000 and sum(seen[i] == unseen[i] for i in same) / len(same) > 0.99  # a repeat may have been listed with another text


HEAVY = ("boto3", "matplotlib", "optuna", "pandas", "pandera", "pyarrow", "scipy", "sklearn", "statsmodels", "xgboost")
ONE = """import sys
from kickstarter_predictor.predict import main
assert main(["--name", "Fog & Lanterns", "--blurb", "A card game.", "--goal", "12000", "--days", "30", "--category", "Tabletop Games", "--launch", "2024-03-05", "--model", "packaged"]) == 0"""
MANY = f"""import sys
from datetime import date
from kickstarter_predictor.predict import load_predictor
from kickstarter_predictor.form import KEYS, tried
packaged = load_predictor("packaged")
values = dict.fromkeys(KEYS) | {GAME} | dict(launch=date(2024, 3, 5))
_, curves, best = tried(values, packaged, date(2024, 2, 1))
print(sum(len(c["p"]) for c in curves.values()), "times a Probability of success: ")"""


@pytest.mark.parametrize("code, heavy", [(ONE, (*HEAVY, "sqlalchemy")), (MANY, HEAVY)])  # the form records
def test_an_answer_waits_for_no_module_that_it_does_not_use(code, heavy):
    done = call(sys.executable, "-c", code + "\nprint(*sys.modules, file=sys.stderr)", cwd=ROOT)
    loaded = set(done.stderr.split())
    assert "Probability of success: " in done.stdout and {"numpy", "pydantic"} <= loaded
    assert all(map(find_spec, heavy)) and not loaded.intersection(heavy)


def test_a_folder_that_is_no_model_is_named(tmp_path):
    done = call("kickstarter-predict", "--name", "A", "--goal", "1", "--days", "30", "--model", str(tmp_path), cwd=tmp_path, check=False)
    assert done.returncode == 1 and str(tmp_path) in done.stderr and "holds no model" in done.stderr


# The packaged model answers; no run of the pipeline is waited for.
CAMPAIGN = {"name": "Lantern Tale – 灯", "goal": 12000, "days": 30, "launched_at": "2027-03-05", "category": "Tabletop Games"}


def asked(*args, stdin=b"", cwd=ROOT, command=("-m", "kickstarter_predictor.predict")):
    return subprocess.run([sys.executable, *command, *args, "--model", "packaged"], input=stdin, capture_output=True, cwd=cwd, env=os.environ | {"PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_in_every_unicode_encoding(encoding, tmp_path):
    (tmp_path / "c.json").write_bytes(json.dumps(CAMPAIGN, ensure_ascii=False).encode(encoding))
    plain = asked("--json", "-", "--format", "json", stdin=json.dumps(CAMPAIGN).encode())
    assert asked("--json", str(tmp_path / "c.json"), "--format", "json").stdout == plain.stdout and json.loads(plain.stdout)["probability"]


@pytest.mark.parametrize("data, named", [
    (b"", "is empty"), (b"[" * 100_000, "nested too deep"), (b'{"name":' * 100_000, "nested too deep"), (b'{"a": "' + b"x" * 2_000_000, "longer than 1,000,000 bytes"),
    (b"\xff\xfe\x00", "not JSON"), (b'{"name": "\xff"}', "not JSON"), (b"null", "no JSON object"), (b'{"goal": 1, "goal": 2}', "'goal' stands there twice"),
    (b'{"launch": "2027-01-01", "launched_at": "2027-01-02"}', "launched_at: stands there twice"), (b'{"goal": 1' + b"0" * 5000 + b"}", "not JSON"), (b"{'goal': 1}", "not JSON"),
])
def test_what_is_no_campaign_in_json_is_told_in_one_line(data, named):
    done = asked("--json", "-", stdin=data)
    told = done.stderr.decode()
    assert done.returncode == 1 and not done.stdout and named in told and told.startswith("kickstarter-predict: ") and told.count("\n") == 1 and len(told) < 400


@pytest.mark.parametrize("fields, named", [
    (b'{"goal": true}', "goal = True"), (b'{"days": false}', "days = False"), (b'{"earlier_campaigns": true}', "earlier_campaigns = True"), (b'{"name": 5}', "name = 5"), (b'{"goal": NaN}', "goal = nan"),
    (b'{"goal": Infinity}', "goal = inf"), (b'{"goal": 1e400}', "goal = inf"), (b'{"name": "\\ud800"}', "name = '\\ud800'"), (b'{"category": "\\u001b[2J"}', "category = '\\x1b[2J'"),
    (b'{"launched_at": "9999-12-31"}', "launched_at = '9999-12-31'"), (b'{"launched_at": "0001-01-01T00:00+14:00"}', "launched_at = '0001-01-01T00:00+14:00'"),
    (b'{"deadline": "9999-12-31T23:59-12:00"}', "deadline = "), (b'{"\\u001b[2J": 1}', "\\x1b[2J: unknown field"), (b'{"goal": [[[]]]}', "goal = [[[]]]"),
])
def test_odd_values_are_told_in_one_line(fields, named):
    rest = {k: v for k, v in CAMPAIGN.items() if f'"{k}"'.encode() not in fields}
    done = asked("--json", "-", stdin=json.dumps(rest).encode()[:-1] + b", " + fields[1:])
    told = done.stderr.decode()
    assert done.returncode == 1 and named in told and told.count("\n") == 1 and told.strip().isprintable() and len(told) < 400


@pytest.mark.parametrize("option", [("--target", "population"), ("--question", "population"), ("--question", "auto")])
def test_the_target_population_and_its_older_name(option):
    plain = asked("--json", "-", "--format", "json", stdin=json.dumps(CAMPAIGN).encode())
    named = asked("--json", "-", "--format", "json", *option, stdin=json.dumps(CAMPAIGN).encode())
    found = json.loads(named.stdout)
    assert named.stdout == plain.stdout and found["question"] == "population" and found["start"] and "words" in found
    assert asked("--target", "everything").returncode == 2


def test_numbers_as_text_are_numbers():
    texts = {k: str(v) for k, v in CAMPAIGN.items()}
    assert asked("--json", "-", stdin=json.dumps(texts).encode()).stdout == asked("--json", "-", stdin=json.dumps(CAMPAIGN).encode()).stdout != b""


@pytest.mark.parametrize("change", [
    {"goal": "12,000"}, {"goal": "$12000"}, {"goal": "US$ 12k"}, {"goal": "12 000 USD"}, {"currency": "usd"}, {"category": "tabletop games"}, {"category": "games/tabletop-games"}, {"category": "Games/Tabletop Games"},
    {"category": "Games: Tabletop Games"}, {"category": " GAMES > Tabletop  games "}, {"category": "tabletop games", "parent": "games"}, {"launched_at": "2027-03-05 00:00Z"},
])
def test_what_people_write_is_the_same_campaign(change):
    assert asked("--json", "-", stdin=json.dumps(CAMPAIGN | change).encode()).stdout == asked("--json", "-", stdin=json.dumps(CAMPAIGN).encode()).stdout != b""


@pytest.mark.parametrize("options, named", [
    (("--goal", "12.000"), "goal = '12.000': may be 12000 or 12"), (("--goal", "€12000", "--currency", "USD"), "goal = '€12000': is in EUR, but currency = 'USD'"), (("--goal", "500 kr"), "may be in DKK, NOK, SEK"),
    (("--category", "Tabeltop Games"), "did you mean 'Games/Tabletop Games'?"), (("--category", "web"), "category = 'web': is in several parent categories (Journalism, Technology)"), (("--parent", "Gmaes"), "parent = 'Gmaes': not known; did you mean 'Games'?"),
    (("--category", "Games/Tabletop Games", "--parent", "Music"), "category = 'Games/Tabletop Games': is in 'Games', but parent = 'Music'"), (("--video", "perhaps"), "video = 'perhaps': must be yes or no"),
])
def test_what_cannot_be_meant_is_told_with_what_may_be(options, named):
    done = asked("--json", "-", *options, stdin=json.dumps(CAMPAIGN).encode())
    told = done.stderr.decode()
    assert done.returncode == 1 and not done.stdout and named in told and told.count("\n") == 1 and len(told) < 400


def scripts():
    "The modules of the console scripts."
    settings = configparser.ConfigParser(delimiters=["="])
    settings.read(ROOT / "settings.ini", encoding="utf-8")
    return [line.split("=")[1].split(":")[0].strip() for line in settings["DEFAULT"]["console_scripts"].splitlines() if line]


@pytest.mark.parametrize("name", scripts())
def test_every_console_script_is_also_a_module(name):
    done = subprocess.run([sys.executable, "-m", name, "--help"], capture_output=True, text=True, cwd=ROOT, encoding="utf-8")
    assert done.returncode == 0 and "usage: " in done.stdout


PROJECT = {"id": 1, "name": "A game", "state": "failed", "goal": 1000, "currency": "USD", "launched_at": 1548979200, "deadline": 1551571200}
LINES = [json.dumps({"run_id": "Kickstarter_2020-04-16", "data": PROJECT | {"id": i, "goal": 10 * i}}) for i in range(1, 60)]


def packed_as(form, folder):
    text, path = "\n".join(LINES), folder / "a.zip"
    if form == "array": return f"[{','.join(LINES)}]".encode()
    if form == "gzip": return gzip.compress(text.encode())
    if form == "CSV": return "\n".join(["id,name,state,goal,currency,launched_at,deadline", *(f"{i},A game,failed,{10 * i},USD,1548979200,1551571200" for i in range(1, 60))]).encode()
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive: archive.writestr("a.json", text)
        return path.read_bytes()
    return text.encode()


@pytest.fixture
def scored(tmp_path, monkeypatch):
    "Runs `--batch` in this process, with `stdin` as its standard input: (exit code, the CSV or nothing)."
    def run(source, stdin=b"", out="x.csv"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(["--batch", str(source), "--out", str(tmp_path / out), "--model", "packaged"])
        return code, (tmp_path / out).read_bytes() if (tmp_path / out).exists() else b""
    return run


@pytest.mark.parametrize("form", ["lines", "array", "gzip", "zip", "CSV"])
def test_a_snapshot_through_standard_input_and_through_a_pipe(form, scored, tmp_path, capsys):
    data, pipe = packed_as(form, tmp_path), tmp_path / "pipe"
    code, scores = scored("-", data)
    assert code == 0 and scores.count(b"\n") == 60 and "59 projects scored, 0 lines rejected" in capsys.readouterr().err
    os.mkfifo(pipe)
    Thread(target=pipe.write_bytes, args=[data]).start()
    assert scored(pipe, out="pipe.csv") == (0, scores)


def test_a_batch_never_overwrites_its_snapshot(tmp_path, capsys):
    snapshot, link = tmp_path / "snapshot.json", tmp_path / "link.csv"
    data = packed_as("lines", tmp_path)
    snapshot.write_bytes(data)
    link.symlink_to(snapshot)
    for source, out in ((snapshot, snapshot), (snapshot, link), (tmp_path, snapshot)):
        assert main(["--batch", str(source), "--out", str(out), "--model", "packaged"]) == 1
        assert "is part of the input" in capsys.readouterr().err and snapshot.read_bytes() == data


def test_a_batch_says_what_it_left_out(tmp_path, capsys):
    data = packed_as("lines", tmp_path)
    (tmp_path / "twice.json").write_bytes(data.rstrip(b"\n") + b"\n" + data)
    assert main(["--batch", str(tmp_path / "twice.json"), "--out", str(tmp_path / "s.csv"), "--model", "packaged"]) == 0
    assert "59 projects scored, 0 lines rejected, 59 duplicates" in capsys.readouterr().err
    lines = [json.loads(line) for line in data.splitlines()]
    lines[0]["data"]["goal"], lines[1]["data"] = 0, lines[1]["data"] | {"currency": "XXX", "static_usd_rate": None}
    (tmp_path / "odd.json").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert main(["--batch", str(tmp_path / "odd.json"), "--out", str(tmp_path / "s.csv"), "--model", "packaged"]) == 0
    assert "59 projects scored, 0 lines rejected, 2 with an assumed goal or rate" in capsys.readouterr().err
    assert main(["--batch", str(tmp_path / "twice.json"), "--out", str(tmp_path / "s.csv"), "--goal", "5"]) == 1
    assert "--goal" in capsys.readouterr().err


def test_standard_input_and_substituted_processes_of_a_shell(tmp_path):
    (tmp_path / "a.json.gz").write_bytes(packed_as("gzip", tmp_path))
    batch = f"{sys.executable} -m kickstarter_predictor.predict --model packaged --batch"
    call("bash", "-c", f"{batch} <(zcat a.json.gz) --out pipe.csv && cat a.json.gz | {batch} - --out stdin.csv", cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert (tmp_path / "pipe.csv").read_bytes() == (tmp_path / "stdin.csv").read_bytes() and not (tmp_path / "-").exists()


def test_bad_standard_input_is_called_by_its_name(scored, capsys):
    for data in (b"", b"<html>", b"oops"):
        assert scored("-", data) == (1, b"")
        told = capsys.readouterr().err
        assert told.startswith("kickstarter-predict: standard input: ") and told.count("\n") == 1


def test_an_empty_name_is_no_folder(scored, capsys, tmp_path):
    assert scored("") == (1, b"") and "empty name" in capsys.readouterr().err
    for name in ("", str(tmp_path)):
        assert main(["--json", name]) == 1 and capsys.readouterr().err.count("\n") == 1
