"""Snapshots mutated at random: records, cells, bytes and archives. Whatever becomes of one, every line is accounted for or one line says what is wrong.

`make test` tries some thousand mutations, the same each time; FUZZ_SEED=1 FUZZ_EXAMPLES=200000 python -m pytest tests/test_fuzz.py tries as many others."""
import csv
import gzip
import io
import json
import os
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from kickstarter_predictor.acquire import acquire, read_file
from kickstarter_predictor.core import InputError
from test_bad_input import PROJECT

SEED, EXAMPLES = int(os.environ.get("FUZZ_SEED", 0)), int(os.environ.get("FUZZ_EXAMPLES", 2_500))
FIELDS = [*PROJECT, "pledged", "backers_count", "fx_rate", "spotlight", "slug", "video", "source_url", "run_id", "earlier_campaigns", "earlier_successes", "unknown"]
CRAWL = {"robot_id": "Kickstarter", "run_id": "Kickstarter_2020-04-16T03_20_04_541Z"}
NUMBERS = st.sampled_from([0, 1, -1, 12.5, 1548979200.0, 1.548979200e9, 2**53, 2.0**53, 2**63 - 1, 2**63, 2.0**63, 2**64, 10**400, 1e308, -1e308, 5e-324, float("nan"), float("inf"), -float("inf"), 253402300800, 4_102_444_801])
WORDS = st.sampled_from(["", " ", "NA", "NaN", "None", "null", r"\N", "<NA>", "-", "True", "FALSE", "1.0", "1e9", "1.05E+09", "1,001", "inf", "9" * 5_000, "\ud800", "\udc80x", "\0", "\u2028", "\r", "\n", '"', "'", "a,b", "<td>", "[", "{", "submitted", "started", "live", "é" * 10_001, "{'id': 5, 'name': nan}", "{'id': '\\ud800'}", '{"id":5,"name":"a "b" c"}', '{"id', "[" * 3_000, "(" * 3_000, "{'a':" * 300, "-" * 9_000 + "1"])
VALUES = st.recursive(st.one_of(st.none(), st.booleans(), NUMBERS, WORDS, st.text(max_size=5)), lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["id", "name", "country", "x"]), inner, max_size=2)), max_leaves=4)
PLACES = st.integers(0, 2**31)
RECORD_CHANGES = st.tuples(PLACES, st.sampled_from(FIELDS), st.one_of(VALUES, st.just("left out")))
SNIPPETS = st.one_of(st.binary(max_size=4), st.sampled_from([b"\n", b"\r\n", b",", b'"', b"[", b"]", b"{", b"}", b"\x1e", b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"NaN", b"\\ud800", b"null", b"PK\3\4", b"\x1f\x8b", b"[" * 2_000, b'"' * 50, b",\n", b"-", b"1e999", b"\xed\xa0\x80"]))
BYTE_CHANGES = st.tuples(st.sampled_from(["insert", "replace", "cut", "truncate", "repeat"]), PLACES, SNIPPETS, st.integers(0, 60))


def written(v):
    "`v` as pandas or Web Robots put it into a cell."
    return "" if v is None else v if isinstance(v, str) else str(v) if not isinstance(v, int) or v < 10**300 else "9" * 400


def as_csv(records, nested):
    text, names = io.StringIO(newline=""), list(dict.fromkeys(k for r in records for k in r))
    rows = csv.writer(text)
    rows.writerow(names)
    for r in records: rows.writerow([nested(v) if isinstance(v, dict | list) else written(v) for v in (r.get(n) for n in names)])
    return text.getvalue().encode("utf-8", "surrogatepass")


def as_json(value):
    return json.dumps(value).encode()


FORMS = {
    "lines": lambda records: b"\n".join(as_json(CRAWL | {"data": r}) for r in records),
    "comma lines": lambda records: b",\n".join(as_json(CRAWL | {"data": r}) for r in records),
    "sequence": lambda records: b"".join(b"\x1e" + as_json(CRAWL | {"data": r}) + b"\n" for r in records),
    "bare": lambda records: b"\n".join(map(as_json, records)),
    "array": lambda records: as_json([CRAWL | {"data": r} for r in records]),
    "pages": lambda records: json.dumps([{"projects": records[:2]}, {"projects": records[2:]}], indent=1).encode(),
    "page lines": lambda records: b"\n".join(as_json(CRAWL | {"data": {"projects": part}}) for part in (records[:2], records[2:])),
    "csv": lambda records: as_csv(records, lambda v: json.dumps(v)[: 10**5]),
    "csv of pandas": lambda records: as_csv(records, repr),
    "csv of pages": lambda records: as_csv([CRAWL | {"projects": json.dumps(records)}], str),
}


def zipped(data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive: archive.writestr("a.json" if data[:1] in b"[{" else "a.csv", data)
    return file.getvalue()


PACKING = {"plain": bytes, "gzip": lambda data: gzip.compress(data, 1, mtime=0), "zip": zipped}


def changed_records(changes):
    records = [PROJECT | {"id": i} for i in (1, 2, 2, 3)]
    for place, name, value in changes:
        record = records[place % len(records)]
        if value == "left out": record.pop(name, None)
        else: record[name] = value
    return records


def changed_bytes(data, changes):
    for how, place, snippet, n in changes:
        at = place % (len(data) + 1)
        if how == "insert": data = data[:at] + snippet + data[at:]
        elif how == "replace": data = data[:at] + snippet + data[at + len(snippet) :]
        elif how == "cut": data = data[:at] + data[at + n :]
        elif how == "truncate": data = data[:at]
        else: data = data[:at] + data[at : at + n] * 3 + data[at + n :]
    return data


@pytest.fixture(scope="module")
def outcomes():
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder), Counter()


@seed(SEED)
@settings(max_examples=EXAMPLES, database=None, deadline=None, phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck), print_blob=True)
@given(
    form=st.sampled_from(list(FORMS)), packing=st.sampled_from(list(PACKING)), records=st.lists(RECORD_CHANGES, max_size=3),
    inside=st.lists(BYTE_CHANGES, max_size=2), outside=st.one_of(st.just([]), st.lists(BYTE_CHANGES, max_size=2)), name=st.sampled_from(["a.json", "a.csv", "a.zip", "a.json.gz"]),
    merged=st.sampled_from([True, *[False] * 7]),
)  # fmt: skip
def test_every_line_is_accounted_for(outcomes, form, packing, records, inside, outside, name, merged):
    folder, seen = outcomes
    (folder / name).write_bytes(changed_bytes(PACKING[packing](changed_bytes(FORMS[form](changed_records(records)), inside)), outside))
    try:
        index, counted, findings = read_file(folder / name, folder / "part.arrow", lambda ids: ids != 3, max_rejected=1)
        provenance, rejects = acquire(folder / name, folder / "out.parquet", quiet=True, max_rejected=1) if merged else (None, None)
    except InputError as e:
        said = str(e)
        assert name in said and "\n" not in said and len(said) < 400, said
        seen["refused"] += 1
    else:
        assert counted["lines"] == len(index) + sum(counted[k] for k in ("rejected", "left_out", "not_launched"))
        assert all(5 < len(reason) <= 200 for reason in findings.rejected) and len(findings.rejects) == counted["rejected"]
        assert all(0 < n <= of for n, of in counted["unreadable"].values())
        seen["read"] += 1
        if merged:
            row = provenance.iloc[0]
            assert row["lines"] == row[["rejected", "left_out", "not_launched", "duplicates", "projects"]].sum() == counted["lines"] and len(rejects) == row["rejected"]
    finally:
        (folder / name).unlink()


def test_both_outcomes_were_met(outcomes):
    _, seen = outcomes
    assert min(seen["read"], seen["refused"]) > 0.05 * seen.total() > 0, seen
