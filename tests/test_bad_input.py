"Damaged snapshots and wrong parameters: the right count or a clear one-line error, and nothing lost."
import gzip
import json
import math
from dataclasses import asdict
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from support.project import call
from kickstarter_predictor.acquire import acquire
from kickstarter_predictor.campaign import ALIASES, Campaign, to_campaign
from kickstarter_predictor.predict import (
    Prediction, as_text, load_predictor, predict, predict_many, what_if,
)
from kickstarter_predictor.core import InputError

PROJECT = {"id": 1, "name": "A game", "blurb": "Fun.", "state": "failed", "goal": 1000, "currency": "USD", "country": "US", "static_usd_rate": 1, "created_at": 1546300800,
           "launched_at": 1548979200, "deadline": 1551571200, "state_changed_at": 1551571200, "usd_pledged": "3.5", "staff_pick": False,
           "category": {"id": 35, "name": "Video Games", "slug": "games/video games", "parent_id": 12, "parent_name": "Games"}, "creator": {"id": 5}, "location": {"country": "US"}}
GOOD = 20


def line(**fields):
    return json.dumps({"table_id": "Kickstarter", "robot_id": "Kickstarter", "run_id": "Kickstarter_2020-04-16T03_20_04_541Z", "data": {**PROJECT, **fields}}).encode()


def without(*names):
    return json.dumps({"run_id": "r", "data": {k: v for k, v in PROJECT.items() if k not in names}}).encode()


ROWS = [line(id=i) for i in range(1, GOOD + 1)]
WHOLE = gzip.compress(b"\n".join(ROWS * 40))

# kind: (lines added to twenty good ones, how many of them become projects, are rejected, are repeats)
LINES = {
    "truncated JSON": ([ROWS[0][:100]], 0, 1, 0),
    "not JSON at all": ([b"oops"], 0, 1, 0),
    "an empty object": ([b"{}"], 0, 1, 0),
    "a list": ([b"[1, 2]"], 0, 1, 0),
    "a string": ([b'"project"'], 0, 1, 0),
    "null": ([b"null"], 0, 1, 0),
    "data is null": ([b'{"data": null}'], 0, 1, 0),
    "an HTML line": ([b"<html><body>502 Bad Gateway</body></html>"], 0, 1, 0),
    "two records on one line": ([line(id=30) + line(id=31)], 0, 1, 0),
    "one record over two lines": ([line(id=30)[:80], line(id=30)[80:]], 0, 2, 0),
    "id missing": ([without("id")], 0, 1, 0),
    "id a string": ([line(id="30")], 0, 1, 0),
    "id negative": ([line(id=-30)], 0, 1, 0),
    "id too large for 64 bits": ([line(id=2**70)], 0, 1, 0),
    "state missing": ([without("state")], 0, 1, 0),
    "state empty": ([line(id=30, state="")], 0, 1, 0),
    "goal missing": ([without("goal")], 0, 1, 0),
    "goal a string": ([line(id=30, goal="1000")], 0, 1, 0),
    "goal NaN": ([line(id=30, goal=float("nan"))], 0, 1, 0),
    "goal infinite": ([line(id=30, goal=float("inf"))], 0, 1, 0),
    "goal out of range": ([line(id=30).replace(b'"goal": 1000', b'"goal": 1e999')], 0, 1, 0),
    "goal zero is clean's affair": ([line(id=30, goal=0)], 1, 0, 0),
    "times in milliseconds": ([line(id=30, launched_at=1548979200000)], 0, 1, 0),
    "time negative": ([line(id=30, deadline=-5)], 0, 1, 0),
    "time a date text": ([line(id=30, deadline="2019-03-03")], 0, 1, 0),
    "name a number": ([line(id=30, name=5)], 0, 1, 0),
    "name null": ([line(id=30, name=None)], 1, 0, 0),
    "category a string": ([line(id=30, category="Games")], 0, 1, 0),
    "staff_pick a string": ([line(id=30, staff_pick="yes")], 0, 1, 0),
    "invalid UTF-8 in a name": ([line(id=30).replace(b"A game", b"A \xff game")], 0, 1, 0),
    "a NUL byte": ([line(id=30).replace(b"A game", b"A \x00 game")], 0, 1, 0),
    "a lone surrogate": ([line(id=30).replace(b"A game", b"A \\ud800 game")], 0, 1, 0),
    "nested a thousand deep": ([b'{"data": ' + b"[" * 5000 + b"]" * 5000 + b"}"], 0, 1, 0),
    "usd_pledged no number": ([line(id=30, usd_pledged="n/a")], 1, 0, 0),
    "an unknown field": ([line(id=30, brand_new={"a": [1]})], 1, 0, 0),
    "optional fields missing": ([without("id", "blurb", "category", "creator", "location").replace(b'"data": {', b'"data": {"id": 30, ')], 1, 0, 0),
    "blank lines": ([b"", b"   ", b"\r"], 0, 0, 0),
    "a repeat": ([ROWS[3]], 0, 0, 1),
    "a newer record of the same project": ([line(id=4, state="successful", state_changed_at=1551571300)], 0, 0, 1),
    "non-ASCII text": ([line(id=30, name="Böhm – 日本語 🎲")], 1, 0, 0),
    "a name of two megabytes": ([line(id=30, name="x" * 2_000_000)], 0, 1, 0),
    "a name of ten thousand characters": ([line(id=30, name="é" * 10_000)], 1, 0, 0),
}

FILES = {
    "empty.json.gz": b"",
    "empty_member.json.gz": gzip.compress(b""),
    "blank.json": b"\n \n\n",
    "page.json.gz": b"<!DOCTYPE html><html><title>404 Not Found</title></html>",
    "packed_page.json.gz": gzip.compress(b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"),
    "archive.json": b"PK\x03\x04" + b"\0" * 100,
    "cut.json.gz": WHOLE[:-300],
    "cut_header.json.gz": WHOLE[:8],
    "bad_crc.json.gz": WHOLE[:-8] + b"\0\0\0\0" + WHOLE[-4:],
    "flipped.json.gz": WHOLE[: len(WHOLE) // 2] + b"\xff\x00\xff\x00" + WHOLE[len(WHOLE) // 2 + 4 :],
    "garbage_after.json.gz": WHOLE + b"garbage",
    "nothing_good.json": b"{}\n{}\n",
    "broken_array.json": b"[" + ROWS[0] + b", " + ROWS[1][:50],
    "random.json": bytes(range(256)) * 20,
}


@pytest.fixture
def before(tmp_path):
    "An earlier good result, to be there still after a failure."
    out = tmp_path / "projects.parquet"
    (tmp_path / "old.json").write_bytes(b"\n".join(ROWS))
    acquire(tmp_path / "old.json", out, quiet=True)
    return out


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("kind", LINES)
def test_bad_lines_are_counted(kind, packed, tmp_path):
    added, projects, rejected, repeats = LINES[kind]
    data = b"\n".join([*ROWS[:10], *added, *ROWS[10:]])
    (tmp_path / "a.json").write_bytes(gzip.compress(data) if packed else data)
    provenance, rejects = acquire(tmp_path / "a.json", tmp_path / "out.parquet", quiet=True)
    counted = provenance.iloc[0]
    assert (counted["projects"], counted["rejected"], counted["duplicates"]) == (GOOD + projects, rejected, repeats)
    assert counted["lines"] == GOOD + projects + rejected + repeats
    assert rejects["line"].between(11, 10 + len(added)).all() and len(rejects) == rejected and rejects["reason"].str.len().gt(5).all()
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert len(table) == GOOD + projects and set(range(1, GOOD + 1)) <= set(table["id"])
    if kind.startswith("a newer"): assert table.set_index("id").loc[4, "state"] == "successful"


@pytest.mark.parametrize("name", FILES)
def test_bad_files_stop_the_run(name, before, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / name).write_bytes(FILES[name])
    (folder / "good.json").write_bytes(b"\n".join(ROWS))
    kept = before.read_bytes()
    with pytest.raises(InputError) as said: acquire(folder, before, quiet=True)
    assert name in str(said.value) and "\n" not in str(said.value) and len(str(said.value)) < 300
    assert before.read_bytes() == kept
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "old.json", "projects.parquet"]


def test_array_and_lines_give_the_same(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\n".join(ROWS))
    (tmp_path / "b.json").write_bytes(b"[\n" + b",\n".join(ROWS) + b"\n]")
    for name in "ab": acquire(tmp_path / f"{name}.json", tmp_path / f"{name}.parquet", quiet=True)
    pd.testing.assert_frame_equal(*(pd.read_parquet(tmp_path / f"{n}.parquet") for n in "ab"))


def test_order_and_names_of_files_do_not_matter(tmp_path):
    old, new = b"\n".join(ROWS), b"\n".join(line(id=i, state="successful").replace(b"2020-04", b"2020-05") for i in (2, 3, 99))
    tables = []
    for first, second in ((old, new), (new, old)):
        folder = tmp_path / f"d{len(tables)}"
        folder.mkdir()
        (folder / "a.json").write_bytes(first)
        (folder / "b.json.gz").write_bytes(gzip.compress(second, mtime=0))
        acquire(folder, tmp_path / "out.parquet", quiet=True)
        tables.append(pd.read_parquet(tmp_path / "out.parquet"))
    same = [t.sort_values("id", ignore_index=True) for t in tables]
    pd.testing.assert_frame_equal(*same)
    assert same[0].set_index("id")["state"].loc[[2, 3, 99]].eq("successful").all() and len(same[0]) == GOOD + 1


def stage(copy, name):
    done = call("python", "-m", "kickstarter_predictor.stage", name, cwd=copy, check=False)
    said = [text for text in done.stderr.splitlines() if text.startswith(f"{name}: ")]
    return done.returncode, said, done.stderr


def test_a_failed_stage_leaves_the_last_result(copy):
    (copy / "data").mkdir()
    (copy / "data" / "a.json").write_bytes(b"\n".join(ROWS))
    assert stage(copy, "acquire")[0] == 0
    results = [*(p for p in (copy / "artifacts").rglob("*") if p.is_file()), *(copy / "reports").glob("17_acquire.*")]
    kept = {p: p.read_bytes() for p in results}
    (copy / "data" / "cut.json.gz").write_bytes(WHOLE[:-300])
    code, said, everything = stage(copy, "acquire")
    assert code == 1 and len(said) == 1 and "cut.json.gz" in said[0] and "Traceback" not in everything
    assert {p: p.read_bytes() for p in kept} == kept and not list(copy.rglob(".tmp-*"))


@pytest.mark.parametrize("old, new, names", [
    ("sample_fraction: 1.0", "limt: 1.0", "acquire.limt is unknown"),
    ("sample_fraction: 1.0", "limit: 1.0", "acquire.limit is now acquire.sample_fraction"),
    ("  sample_fraction: 1.0", "  # sample_fraction: 1.0", "acquire.sample_fraction is missing"),
    ("sample_fraction: 1.0", "sample_fraction: all", "acquire.sample_fraction = 'all'"),
    ("sample_fraction: 1.0", "sample_fraction: true", "acquire.sample_fraction = True"),
    ("sample_fraction: 1.0", "sample_fraction: 1.5", "acquire.sample_fraction = 1.5"),
    ("acquire:\n", "acquire: [1\n", "not YAML"),
    ("acquire:\n", "acquired:\n", "acquire."),
])
def test_wrong_parameters_are_named(copy, old, new, names):
    params = copy / "params.yaml"
    assert old in params.read_text(encoding="utf-8")
    params.write_text(params.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    code, said, everything = stage(copy, "acquire")
    assert code == 1 and len(said) == 1 and "params.yaml" in said[0] and names in said[0] and "Traceback" not in everything


def test_a_notebook_without_its_parameters_cell_is_refused(copy):
    path = copy / "nbs" / "17_acquire.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace('"parameters"', '"parametres"'), encoding="utf-8")
    code, said, _ = stage(copy, "acquire")
    assert code == 1 and "17_acquire.ipynb" in said[0] and "tagged `parameters`" in said[0]


def test_an_unknown_stage_is_named(copy):
    code, said, _ = stage(copy, "aquire")
    assert code == 1 and "no such stage" in said[0] and "acquire" in said[0]


class Odd:
    def __repr__(self): raise RuntimeError("no words for it")


CAMPAIGN = {"name": "Fog & Lanterns", "goal": 12000, "launched_at": "2024-03-05T16:00", "days": 30, "category": "Tabletop Games"}
NESTED = []
for _ in range(10_000): NESTED = [NESTED]
EAST, WEST = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))
VALUES = {
    "nothing": [None, pd.NA, pd.NaT, np.datetime64("NaT"), math.nan, np.nan, Decimal("NaN"), Decimal("sNaN")],
    "truth": [True, False, np.True_, np.False_],
    "numbers": [0, -0.0, 1, 2**53, 2**63, 10**400, 10**5000, -1, 1e-320, 1e308, math.inf, -math.inf, np.float32(3), np.int8(5), np.float64("inf"), Decimal("1e400"), Fraction(1, 3), 1j],
    "numbers as text": ["12", "1e400", "nan", "-inf", "0x10", "१२", "1" * 100_000, "12.0", " 12 ", "1_000"],
    "texts": ["", " ", "x" * 10**6, "\ud800", "a\udfff", "\x00", "\x1b[2J", "a\nb\rc", "\u202e\u2028", "🎲" * 200, "́" * 200, "&#0;" * 40, '""', "(Canceled)", np.str_("Games"), "%s{}\\"],
    "bytes": [b"", b"12", b"\xff", bytearray(b"2024-03-05"), memoryview(b"x")],
    "collections": [[], [1], {}, {"a": 1}, (), {1}, range(3), np.zeros(3), np.array("12"), pd.Series([1, 2]), [1] * 10**6, NESTED],
    "times": [datetime.min, datetime.max, datetime.min.replace(tzinfo=EAST), datetime.max.replace(tzinfo=WEST), date.min, date.max, date(2024, 3, 5), datetime(2100, 12, 31, 23, 59, tzinfo=WEST),
              datetime(2009, 1, 1, tzinfo=EAST), pd.Timestamp.min, pd.Timestamp.max, pd.Timestamp("2024-03-05 16:00:00.000000001", tz="Asia/Tokyo"), np.datetime64("2024-03-05"), np.datetime64(2**62, "s"),
              np.datetime64(-(2**62), "ns"), np.datetime64("292277026596", "Y"), np.datetime64("9999-12-31T23:59:59"), timedelta(30), pd.Timedelta("30D"), pd.Period("2024-03")],
    "times as text": ["9999-12-31", "0001-01-01", "0001-01-01T00:00+14:00", "9999-12-31T23:59:59-23:59", "2024-02-30", "2024-W10", "20240305", "2024-03-05T24:00", "2024-03-05T16:00Z", "10000-01-01", "-1-01-01", "now"],
    "others": [object(), Odd(), int, print, Ellipsis, Campaign],
}


@pytest.fixture(scope="module")
def packaged():
    return load_predictor("packaged")


def judged(call, *args):
    "Whether `call` gave a value, not one readable line."
    try: found = call(*args)
    except InputError as e:
        assert str(e).isprintable() and 10 < len(str(e)) < 420, str(e)
        return False
    if isinstance(found, Prediction):
        assert 0 < found.probability < 1 and json.dumps(asdict(found)).isprintable() and len(as_text(found)) < 3000 and "\x1b" not in as_text(found)
    else: assert np.isfinite(np.asarray(found, float)).all()
    return True


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("field", Campaign.model_fields)
def test_any_value_in_any_field(field, packaged):
    "One campaign, many, and what if: a prediction or one line, whatever the value; and the same of all three."
    answers = {}
    for kind, values in VALUES.items():
        for i, value in enumerate(values):
            fields = {k: v for k, v in CAMPAIGN.items() if (k, field) != ("days", "deadline")} | {field: value}
            if field == "earlier_successes": fields["earlier_campaigns"] = 1000
            answers[kind, i] = judged(predict, fields, packaged)
            frame = pd.DataFrame({k: pd.Series([None], dtype=object) for k in fields})
            for k, v in fields.items(): frame.at[0, k] = v
            alike = judged(predict_many, frame, packaged)
            assert alike == answers[kind, i] or kind in ("nothing", "collections"), (value, alike)  # to a table, what is missing is left out
            judged(what_if, CAMPAIGN, field, [value], packaged)
    for refused in ("bytes", "others", "collections"): assert not any(ok for (kind, _), ok in answers.items() if kind == refused)
    if field in ("goal", "days", "earlier_campaigns", "earlier_successes"): assert not any(ok for (kind, _), ok in answers.items() if kind in ("truth", "times"))
    if field in ("name", "blurb", "category", "parent", "currency", "country"): assert not any(ok for (kind, _), ok in answers.items() if kind in ("truth", "times", "numbers"))


def test_the_ends_of_the_calendar_are_told():
    for field in ("launched_at", "deadline", "created_at"):
        for value in ("9999-12-31", "0001-01-01T00:00+14:00", datetime.max.replace(tzinfo=WEST)):
            with pytest.raises(InputError, match=f"{field} = .*: must lie in the years 2009 to 2100"): predict(CAMPAIGN | {"days": None, field: value})
    assert judged(predict, CAMPAIGN | {"launched_at": "2100-12-31T23:59-12:00", "days": 92})


def test_odd_tables_and_names_are_told(packaged):
    frame = pd.DataFrame([CAMPAIGN])
    twice = pd.concat([frame, frame["goal"]], axis=1)
    for wrong in (twice, frame.rename(columns={"goal": 5}), frame.rename(columns={"goal": "\x1b[2J"}), frame.rename(columns={"goal": ("a", "b")}), frame.assign(launch="2024-03-05"), frame.set_axis(["\x1b[2J"]).assign(goal=-1), None, [CAMPAIGN], CAMPAIGN):
        assert not judged(predict_many, wrong, packaged)
    for wrong in (None, 5, "x", [], {5: 1}, {b"goal": 1}, {"\ud800": 1}, {"\x1b[2J" * 99: 1}, {None: 1}, CAMPAIGN | {"launch": "2024-03-05"}, Odd()):
        assert not judged(predict, wrong, packaged)
    for field, values in (("goal", None), ("goal", 5), ("stars", [1]), ([], [1]), (None, [1]), ("launch", [date.max]), ("goal", np.array(5)), ("days", Odd())):
        assert not judged(what_if, CAMPAIGN, field, values, packaged)
    assert what_if(CAMPAIGN, "launch", ["2024-03-05"], packaged).index.name == "launched_at" and len(what_if(CAMPAIGN, "goal", (g for g in [1, 2]), packaged)) == 2
    assert ALIASES.keys().isdisjoint(Campaign.model_fields) and len(predict_many(frame.iloc[:0], packaged)) == 0


def test_categories_of_a_table_are_resolved_or_left(packaged):
    "What one campaign is refused for, a row falls back for, as it always did."
    written = ["Jazz", "JAZZ", "music/jazz", "Music: Jazz", "jaz", "Comedy", "Games/Jazz", "Juggling", "Music", None]
    table = pd.DataFrame([CAMPAIGN | {"category": c, "parent": None} for c in written], dtype=object)
    rates = predict_many(table, packaged)["base_rate"].tolist()
    jazz, music, everything = (predict(CAMPAIGN | {"category": c}, packaged).base_rate for c in ("Jazz", "Music", None))
    assert rates == [jazz] * 4 + [everything] * 2 + [packaged.about.base_rates["parent"]["Games"]["rate"], everything, music, everything]
    for refused in ("jaz", "Comedy"): assert not judged(predict, CAMPAIGN | {"category": refused}, packaged)
    alone = predict(CAMPAIGN | {"category": "music"}, packaged)
    assert alone.base_of == "Music" and not any("category" in note for note in alone.notes)
    for category in (f"{parent}{mark}{child}" for pair in packaged.about.subcategories for parent, child in [pair.split("/")] for mark in ("/", ": ", " > ")):
        assert to_campaign(CAMPAIGN | {"category": category.upper()}, packaged.about.subcategories) == to_campaign(CAMPAIGN | {"category": category.lower()}, packaged.about.subcategories)
    assert what_if(CAMPAIGN, "category", ["jazz", "games/video games"], packaged).tolist() == what_if(CAMPAIGN, "category", ["Jazz", "Video Games"], packaged).tolist()
    assert what_if(CAMPAIGN, "goal", ["5,000", "$5k"], packaged).nunique() == 1


@pytest.mark.parametrize("place", ["", 5, b"packaged", "x" * 5000, "a\0b", "\x1b[2J", "a\nb", "packaged/model.json", "/dev/null", "/proc/1/root"])
def test_odd_places_of_models_are_told(place):
    assert not judged(load_predictor, place)
