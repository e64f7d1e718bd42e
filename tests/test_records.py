"Records that passed through other tools, stand in older forms or are not launched: the same table, or counted and said."
import csv
import io
import json
import math

import pandas as pd
import pytest
from support.project import ROOT
from kickstarter_predictor.records import Findings, json_records
from kickstarter_predictor.acquire import acquire
from kickstarter_predictor.clean import launch_table
from kickstarter_predictor.predict import main
from kickstarter_predictor.core import InputError
from test_bad_input import PROJECT, line

CASES = ROOT.parent / "shared" / "cases"
RECORDS = [PROJECT | {"id": i, "spotlight": i % 2 == 0, "backers_count": i, "pledged": 3.5, "fx_rate": None if i == 3 else 1.5, "blurb": "Fun, it's “fun”.", "creator": {"id": i, "name": "O'Hara \"Z\"", "is_registered": None, "superbacker": True}, "earlier_campaigns": i, "earlier_successes": None if i == 3 else i // 2} for i in range(1, 21)]


def table(path, data: bytes, **options):
    path.write_bytes(data)
    provenance, _ = acquire(path, path.with_name("out.parquet"), quiet=True, **options)
    return pd.read_parquet(path.with_name("out.parquet")), provenance.iloc[0]


def by_pandas(records, **options) -> bytes:
    return pd.DataFrame(records).to_csv(index=False, **options).encode()


def cells(records, **changed) -> bytes:
    text = io.StringIO(newline="")
    rows = csv.DictWriter(text, list(records[0]))
    rows.writeheader()
    for r in records: rows.writerow({k: json.dumps(v) if isinstance(v, dict) else v for k, v in r.items()} | changed)
    return text.getvalue().encode()


@pytest.fixture
def expected(tmp_path):
    return table(tmp_path / "a.json", b"\n".join(json.dumps({"data": r}).encode() for r in RECORDS))[0]


def floats(record):
    return {k: float(v) if isinstance(v, int) and not isinstance(v, bool) and k != "usd_pledged" else v for k, v in record.items()} | {"category": {**record["category"], "id": 35.0}}


FORMS = {
    "pandas from JSON": lambda: by_pandas(RECORDS),
    "pandas with NA": lambda: by_pandas(RECORDS, na_rep="NA"),
    "pandas with NULL": lambda: by_pandas(RECORDS, na_rep="NULL"),
    "a database": lambda: by_pandas(RECORDS, na_rep=r"\N"),
    "pandas with floats": lambda: by_pandas(map(floats, RECORDS)),
    "Python dicts with nan": lambda: by_pandas(r | {"category": r["category"] | {"position": math.nan}} for r in RECORDS),
    "truth values as 1.0": lambda: by_pandas(r | {"staff_pick": 0.0, "spotlight": float(r["spotlight"])} for r in RECORDS),
    "truth values as words": lambda: by_pandas(r | {"staff_pick": "no", "spotlight": "YES" if r["spotlight"] else "f"} for r in RECORDS),
    "JSON floats": lambda: b"\n".join(json.dumps({"data": floats(r)}).encode() for r in RECORDS),
    "JSON with NaN": lambda: b"\n".join(json.dumps({"data": r | {"fx_rate": r["fx_rate"] or math.nan, "location": r["location"] | {"state": math.nan}}}).encode() for r in RECORDS),
    "bare projects": lambda: b"\n".join(json.dumps(r).encode() for r in RECORDS),
    "an array of bare projects": lambda: json.dumps(RECORDS).encode(),
    "a page a line": lambda: b"\n".join(json.dumps({"data": {"projects": RECORDS[i : i + 4]}}).encode() for i in range(0, 20, 4)),
    "an array of pages": lambda: json.dumps([{"projects": RECORDS[i : i + 4]} for i in range(0, 20, 4)], indent=1).encode(),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_other_forms_give_the_same_table(form, expected, tmp_path):
    found, counted = table(tmp_path / "b.dat", FORMS[form]())
    pd.testing.assert_frame_equal(found.drop(columns="video"), expected.drop(columns="video"))
    assert (counted["rejected"], counted["not_launched"], counted["unreadable"]) == (0, 0, {})


@pytest.mark.parametrize("mark", ["NA", "N/A", "#N/A", "nan", "NaN", "None", "NULL", "null", "<NA>", r"\N", "NaT", "-", " NA "])
def test_marks_of_a_missing_value(mark, tmp_path):
    optional = ("earlier_campaigns", "earlier_successes", "fx_rate", "created_at", "backers_count", "staff_pick", "category", "creator", "location", "pledged", "usd_pledged")
    found, counted = table(tmp_path / "a.csv", cells(RECORDS, **dict.fromkeys(optional, mark)))
    assert len(found) == 20 and counted["unreadable"] == {} and counted["repaired"] == 0
    assert found[["earlier_campaigns", "earlier_successes", "fx_rate", "created_at", "backers_count", "staff_pick", "category", "creator_id", "location_country", "pledged", "usd_pledged"]].isna().all(axis=None)
    for column in ("id", "goal", "launched_at", "deadline"):
        findings = table(tmp_path / "a.csv", cells(RECORDS) + cells(RECORDS[:1], **{column: mark}).split(b"\n", 1)[1])[1]
        assert findings["rejected"] == 1 and all(column in reason for reason in findings["reasons"])


@pytest.mark.parametrize("name", ["NA", "Null", "None", "nan", "N/A", "-", "NaN"])
def test_a_campaign_may_be_called_so(name, tmp_path):
    for data in (cells(RECORDS[:1], name=name, country="NA"), json.dumps(RECORDS[0] | {"name": name, "country": "NA", "fx_rate": math.nan}).encode()):
        found = table(tmp_path / "a.dat", data)[0].iloc[0]
        assert (found["name"], found["country"]) == (name, "NA")


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_what_is_in_doubt_is_rejected_with_the_name_of_its_field(kind, tmp_path):
    for field, value in {"id": 12.5, "launched_at": 1548979200.5, "goal": math.inf, "backers_count": 0.5, "deadline": 1e300, "state": None, "created_at": -1.0, "name": "x" * 10_001}.items():
        bad = RECORDS[0] | {field: value}
        data = cells([*RECORDS, bad]) if kind == "csv" else b"\n".join(json.dumps(r).encode() for r in [*RECORDS, bad])
        _, counted = table(tmp_path / "a.dat", data)
        assert counted["rejected"] == 1 and all(field in reason and len(reason) < 200 for reason in counted["reasons"])


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_a_past_that_cannot_be_is_unknown_and_counted(kind, tmp_path):
    wrong = [(-1, 0), (2, 3), ("many", 1.5), (True, False), (1001, 10**30), (math.inf, 1), ([1], {})]
    data = [PROJECT | {"id": i, "earlier_campaigns": c, "earlier_successes": s} for i, (c, s) in enumerate([(3, 2), (0, None), (None, 4), *wrong], 1)]
    found, counted = table(tmp_path / "a.dat", cells(data) if kind == "csv" else b"\n".join(json.dumps(r).encode() for r in data))
    assert found["earlier_campaigns"].dtype == found["earlier_successes"].dtype == float and counted["rejected"] == 0
    past = found[["earlier_campaigns", "earlier_successes"]].astype(object).where(found[["earlier_campaigns", "earlier_successes"]].notna(), None).to_numpy().tolist()
    assert past == [[3, 2], [0, 0], [None, 4], [None, 0], *[[None, None]] * 4, [None, 1], [None, None]]
    assert counted["unreadable"] == {"earlier_campaigns": [7, 9], "earlier_successes": [5, 10]}


def test_no_outcome_that_was_open_at_the_launch_is_a_past(tmp_path):
    "Batches count a creator's past in the snapshot: what ends after a launch, and its own end, change nothing."
    day, ended = 86_400, ("successful", "failed")
    rows = [PROJECT | {"id": i, "creator": {"id": i % 5 + 1}, "launched_at": PROJECT["launched_at"] + i * 9 * day, "deadline": PROJECT["launched_at"] + (i * 9 + 30) * day, "state": ended[i % 3 == 0]} for i in range(1, 41)]
    rows[7] |= {"earlier_campaigns": 9, "earlier_successes": 8}
    inputs = lambda rows: launch_table(table(tmp_path / "a.json", b"\n".join(json.dumps(r).encode() for r in rows))[0]).set_index("id")[["earlier_campaigns", "earlier_successes"]]
    before = inputs(rows)
    assert before["earlier_successes"].max() >= 4 and before["earlier_campaigns"].nunique() > 4 and before.loc[8].tolist() == [9, 8]
    for launch in (r["launched_at"] for r in rows):
        for state in ("successful", "failed", "canceled", "live"):
            changed = [r | ({"state": state} if r["deadline"] >= launch else {}) for r in rows]
            seen = [r["id"] for r in rows if r["launched_at"] <= launch]
            pd.testing.assert_frame_equal(inputs(changed).loc[seen], before.loc[seen])
    flipped = inputs([r | {"state": ended[r["state"] == "successful"]} for r in rows])
    assert not flipped["earlier_successes"].equals(before["earlier_successes"])


EARLY = [{"state": "submitted", "launched_at": None, "deadline": None}, {"state": "started"}, {"launched_at": None}, {"deadline": 0}, {"state": "submitted", "launched_at": math.nan, "deadline": math.nan}]


@pytest.mark.parametrize("kind", ["json", "csv", "pages"])
def test_projects_not_launched_are_counted_apart(kind, tmp_path):
    records = [*RECORDS[:3], *(PROJECT | {"id": 50 + i} | e for i, e in enumerate(EARLY))]
    data = {"json": lambda: b"\n".join(json.dumps({"data": r}).encode() for r in records), "csv": lambda: by_pandas(records), "pages": lambda: json.dumps([{"projects": records}]).encode()}[kind]()
    found, counted = table(tmp_path / "a.dat", data)
    assert (len(found), counted["not_launched"], counted["rejected"], counted["lines"]) == (3, 5, 0, 8)
    with pytest.raises(InputError, match="none|have not"): table(tmp_path / "b.json", json.dumps(RECORDS[0] | EARLY[0]).encode())


def test_columns_that_could_not_be_read_are_said(tmp_path, capfd):
    (tmp_path / "a.csv").write_bytes(cells(RECORDS, category="<Category 35>"))
    assert main(["--batch", str(tmp_path / "a.csv"), "--out", str(tmp_path / "scores.csv"), "--model", "packaged"]) == 0
    said = capfd.readouterr().err
    assert "a.csv: category: 20 of 20 filled cells could not be read" in said and "20 projects scored, 0 lines rejected" in said
    table(tmp_path / "b.csv", cells(RECORDS) + cells(RECORDS[:1], category="<Category 35>").split(b"\n", 1)[1])
    assert "category" not in capfd.readouterr().err  # one of twenty-one: an accident


def test_too_many_rejects_stop_the_run(tmp_path):
    good = [json.dumps({"data": r}).encode() for r in RECORDS]
    kept = table(tmp_path / "a.json", b"\n".join([*good, *[b"oops"] * 4, line(goal=None)]))[0]  # 5 of 25
    folder = tmp_path / "data"
    folder.mkdir()
    for i in range(5): (folder / f"good{i}.json").write_bytes(b"\n".join(good))
    (folder / "bad.json").write_bytes(b"\n".join([*good, *[b"oops"] * 5, line(goal=None)]))
    with pytest.raises(InputError) as said: acquire(folder, tmp_path / "out.parquet", quiet=True)
    assert "bad.json" in str(said.value) and "6 of 26" in str(said.value) and "5 of them for: not JSON" in str(said.value) and len(str(said.value)) < 300
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), kept)
    acquire(folder, tmp_path / "out.parquet", quiet=True, max_rejected=0.25)


def test_reasons_are_few_whatever_is_wrong():
    findings = Findings()
    for n in range(300):
        text = line(id=30, name="x" * n)
        for bad in (text[: n + 3] + b"\xff" + text[n + 3 :], text[:n], text.replace(b'"goal": 1000', b'"goal": "%d"' % n), text.replace(b'"name"', b'"name": %d, "x%d"' % (n, n)), text.replace(b'"xx', b'"\\ud8%02x' % (n % 99))):
            list(json_records(bad, n, findings))
    assert findings.rejected.total() > 1_000 and len(findings.rejected) < 20, findings.rejected


@pytest.mark.skipif(not CASES.is_dir(), reason="no ../shared/cases here")
@pytest.mark.parametrize("name", ["float_times_json", "nan_json", "pages_2014", "pages_2015", "comma_lines"])
def test_cases_from_the_field(name, tmp_path):
    provenance, _ = acquire(CASES / name, tmp_path / "out.parquet", quiet=True)
    assert provenance["projects"].sum() == provenance["lines"].sum() == 8 and pd.read_parquet(tmp_path / "out.parquet")["category"].eq("Tabletop Games").all()
