"Snapshots in every form: the same table from JSON, CSV and archives, in any order; files that are damaged or unsafe are refused and nothing is lost."
import csv
import gzip
import io
import itertools
import json
import os
import random
import signal
import stat
import subprocess
import sys
import zipfile

import pandas as pd
import pytest
from support.project import ROOT, SHARED, call, needs_shared
from kickstarter_predictor.acquire import acquire, issue_counts
from kickstarter_predictor.scratch import gathered
from kickstarter_predictor.core import InputError
from test_bad_input import PROJECT, ROWS

MONTHS = [f"Kickstarter_2020-0{m}-16T03_20_04_541Z" for m in range(1, 7)]
COLUMNS = [*PROJECT, "profile", "urls"]


def as_csv(records, columns=COLUMNS) -> bytes:
    "Records (their `data`) as Web Robots writes them: nested fields as JSON text, TRUE and FALSE, nothing for null."
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    cell = lambda v: "" if v is None else str(v).upper() if isinstance(v, bool) else json.dumps(v, ensure_ascii=False, separators=(",", ":")) if isinstance(v, dict) else v
    for r in records: writer.writerow([cell(r.get(c)) for c in columns])
    return text.getvalue().encode()


def project(id, **fields):
    return PROJECT | {"id": id} | fields


GOOD = as_csv(project(i) for i in range(1, 21))
PLAIN = project(1)


def zipped(path, members: dict, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items(): archive.writestr(name, data)
    return path


def table(source, tmp_path) -> pd.DataFrame:
    acquire(source, tmp_path / "out.parquet", quiet=True)
    return pd.read_parquet(tmp_path / "out.parquet")


# --- files that stop the run

def made(method=zipfile.ZIP_DEFLATED, **members) -> bytes:
    data = io.BytesIO()
    zipped(data, {k.replace("__", "."): v for k, v in members.items()}, method)
    return data.getvalue()


def at(name: str) -> bytes:
    data = io.BytesIO()
    zipped(data, {name: GOOD})
    return data.getvalue()


def symlink() -> bytes:
    info, data = zipfile.ZipInfo("Kickstarter.csv"), io.BytesIO()
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    zipped(data, {info: "/etc/passwd"})
    return data.getvalue()


def locked() -> bytes:
    data = bytearray(made(a__csv=GOOD))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)): data[data.index(mark) + offset] |= 1
    return bytes(data)


def method(number: int) -> bytes:
    data = bytearray(made(a__csv=GOOD))
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)): data[data.index(mark) + offset] = number
    return bytes(data)


def overlapping() -> bytes:
    "Two members of the directory that share one's bytes, as in a bomb that does not nest."
    data = made(a__csv=GOOD, b__csv=GOOD)
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    return data[: second + 42] + b"\0\0\0\0" + data[second + 46 :]


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data and len(old) == len(new)
    return data.replace(old, new)


BLANK = b" " * (66 << 20)
STORED = made(zipfile.ZIP_STORED, a__csv=GOOD)
FAULTS = {  # name: (content, what the message says)
    "truncated.csv.gz": (gzip.compress(GOOD)[:-20], "end too early"),
    "crc.csv.gz": (gzip.compress(GOOD)[:-8] + b"\0" * 8, "damaged"),
    "empty.csv": (b"", "is empty"),
    "empty.zip": (made(), "holds no snapshot"),
    "header_only.csv": (GOOD.split(b"\n")[0] + b"\n", "holds no project"),
    "wrong_columns.csv": (b"id,title,amount\n1,a,5\n", "lacks the columns name, goal, state"),
    "twice.csv": (GOOD.replace(b"profile", b"goal", 1), "names the column goal twice"),
    "semicolons.csv": (GOOD.split(b"\n")[0].replace(b",", b";") + b"\n1;2\n", "lacks the columns"),
    "utf16.csv": (GOOD.decode().encode("utf-16"), "UTF-16"),
    "page.csv": (b"<!DOCTYPE html><title>404</title>", "HTML"),
    "bomb.json.gz": (gzip.compress(BLANK, 9), "200 times"),
    "newlines.json.gz": (gzip.compress((b" " * 1023 + b"\n") * (66 << 10), 9), "200 times"),
    "long_header.json.gz": (b"\x1f\x8b\x08\x08\0\0\0\0\0\x03" + b"n" * (1 << 20), "damaged"),
    "packed_twice.json.gz": (gzip.compress(gzip.compress(ROWS[0])), "another archive"),
    "truncated.zip": (made(a__csv=GOOD)[:-30], "truncated.zip"),
    "head_only.zip": (b"PK\x03\x04" + b"\0" * 50, "damaged"),
    "crc.zip": (renamed(STORED, b"A game", b"A gene"), "a.csv"),
    "flipped.zip": (renamed(made(a__csv=GOOD), made(a__csv=GOOD)[60:64], b"\xff\x00\xff\x00"), "a.csv"),
    "password.zip": (locked(), "password"),
    "deflate64.zip": (method(9), "a.csv"),
    "unknown_method.zip": (method(77), "a.csv"),
    "up.zip": (at("../a.csv"), "outside"),
    "up_later.zip": (at("a/../../b.csv"), "outside"),
    "absolute.zip": (at("/tmp.csv"), "outside"),
    "drive.zip": (at("C:/a.csv"), "outside"),
    "backslash.zip": (at("a\\..\\..\\b.csv"), "outside"),
    "symlink.zip": (symlink(), "link"),
    "bomb.zip": (made(a__csv=BLANK), "200 times"),
    "overlapping.zip": (overlapping(), "shares its bytes"),
    "nested.zip": (made(a__zip=made(b__csv=GOOD)), "another archive"),
    "empty_member.zip": (made(a__csv=GOOD, b__csv=b""), "b.csv"),
    "wrong_member.zip": (made(a__csv=GOOD, b__csv=b"x,y\n1,2\n"), "b.csv"),
    "no_snapshot.zip": (made(readme__txt=b"hello"), "holds no snapshot"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_damaged_and_unsafe_files_are_refused(name, tmp_path):
    folder, out = tmp_path / "data", tmp_path / "out" / "projects.parquet"
    folder.mkdir()
    (folder / "good.csv").write_bytes(GOOD)
    acquire(folder, out, quiet=True)
    kept = out.read_bytes()
    data, says = FAULTS[name]
    (folder / name).write_bytes(data)
    with pytest.raises(InputError) as said: acquire(folder, out, quiet=True)
    text = str(said.value)
    assert name in text and says in text and "\n" not in text and len(text) < 300
    assert out.read_bytes() == kept and [p.name for p in out.parent.iterdir()] == ["projects.parquet"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "out"] and sorted(p.name for p in folder.iterdir()) == sorted([name, "good.csv"])


# --- rows of CSV: (what stands between twenty good rows, projects, rejected, repaired)

def row(**fields) -> bytes:
    return as_csv([project(30, **fields)]).split(b"\n", 1)[1].rstrip(b"\n")


ROW = row()
CELLS = {
    "too few cells": (b"30,A game,Fun.", 0, 1, 0),
    "too many cells": (ROW + b",more,more", 0, 1, 0),
    "a quotation mark that never closes": (ROW.replace(b"A game", b'"A game'), 0, 1, 0),
    "id in exponent form": (ROW.replace(b"30,", b"1.05E+09,", 1), 0, 1, 0),
    "id no number": (ROW.replace(b"30,", b"x30,", 1), 0, 1, 0),
    "goal empty": (row(goal=None), 0, 1, 0),
    "goal infinite": (row(goal="inf"), 0, 1, 0),
    "state empty": (row(state=None), 0, 1, 0),
    "time in milliseconds": (row(launched_at=1548979200000), 0, 1, 0),
    "staff_pick no truth value": (row(staff_pick="maybe"), 0, 1, 0),
    "category a list": (ROW.replace(b'"{""id"":35', b'"[1]').split(b",12,")[0], 0, 1, 0),
    "whole numbers with a point": (row(launched_at="1548979200.0"), 1, 0, 0),
    "name empty": (row(name=None), 1, 0, 0),
    "name the word null": (row(name="null"), 1, 0, 0),
    "text over three lines": (row(blurb="one\ntwo, \"three\"\r\nfour"), 1, 0, 0),
    "creator with bare quotation marks": (ROW.replace(b'"{""id"":5}"', b'"{""id"":5,""name"":""Zachary ""Ziggy"" Z"",""slug"":""z""}"'), 1, 0, 1),
    "location cut off": (ROW.replace(b'"{""country"":""US""}"', b'"{""country"":""US"",""state"":""N"'), 1, 0, 1),
    "location no JSON": (ROW.replace(b'"{""country"":""US""}"', b"somewhere"), 1, 0, 1),
    "category with a line break": (ROW.replace(b"Video Games", b"Video\nGames"), 1, 0, 1),
    "a byte of Windows-1252": (ROW.replace(b"A game", b"B\xf6hm \x96 \x93x\x94"), 1, 0, 1),
    "both encodings in one cell": (ROW.replace(b"A game", "Böhm".encode() + b" B\xf6hm"), 1, 0, 1),
    "NUL bytes": (ROW.replace(b"A game", b"A \0ga\0me"), 1, 0, 1),
    "mojibake as published": (ROW.replace(b"A game", "BÃ¶hm".encode()), 1, 0, 0),
    "the header again": (GOOD.split(b"\n")[0], 0, 0, 0),
    "blank lines": (b"\n\r\n", 0, 0, 0),
    "longer than 16 MB": (b"x" * (17 << 20), 0, 1, 0),
    "two bad rows in a row": (b"30,A game\n31", 0, 2, 0),
}
NAMES = {"a byte of Windows-1252": "Böhm – “x”", "both encodings in one cell": "Böhm Böhm", "NUL bytes": "A game", "mojibake as published": "BÃ¶hm", "name the word null": "null"}


@pytest.mark.parametrize("kind", CELLS)
def test_damaged_cells_are_counted(kind, tmp_path):
    added, projects, rejected, repaired = CELLS[kind]
    lines = GOOD.split(b"\n")
    (tmp_path / "a.csv").write_bytes(b"\n".join([*lines[:11], added, *lines[11:]]))
    provenance, rejects = acquire(tmp_path / "a.csv", tmp_path / "out.parquet", quiet=True)
    counted, found = provenance.iloc[0], pd.read_parquet(tmp_path / "out.parquet").set_index("id")
    assert (counted["projects"], counted["rejected"], counted["repaired"], counted["lines"]) == (20 + projects, rejected, repaired, 20 + projects + rejected)
    assert set(range(1, 21)) <= set(found.index) and len(rejects) == rejected and rejects["line"].between(12, 13).all()
    assert issue_counts(provenance, "reasons")["lines"].sum() == rejected and issue_counts(provenance, "repairs")["lines"].sum() == repaired
    if projects:
        assert found.loc[30, "goal"] == 1000 and found.loc[30, "launched_at"] == pd.Timestamp("2019-02-01", tz="UTC")
        if kind in NAMES: assert found.loc[30, "name"] == NAMES[kind]
        if kind.startswith("creator"): assert found.loc[30, "creator_id"] == 5
        if kind == "location cut off": assert found.loc[30, "location_country"] == "US"
        if kind == "location no JSON": assert pd.isna(found.loc[30, "location_country"])


# --- the same table

@pytest.fixture(scope="module")
def sample():
    "The embedded snapshot: (its name, its bytes, its good records)."
    path = next((ROOT / "sample").glob("*.json.gz"))
    data = gzip.decompress(path.read_bytes())
    records = []
    for text in data.splitlines():
        try: record = json.loads(text)
        except ValueError: continue
        if isinstance(record, dict) and isinstance(record.get("data"), dict): records.append(record)
    return path.name.removesuffix(".json.gz"), data, records


def test_json_and_csv_give_the_same_table(sample, tmp_path):
    name, data, records = sample
    (tmp_path / f"{name}.json").write_bytes(data)
    columns = list(dict.fromkeys(k for r in records for k in r["data"])) + ["robot_id"]
    rows = [r["data"] | {"robot_id": r.get("robot_id")} for r in records]
    chunks = [as_csv(rows[i : i + 1500], columns) for i in range(0, len(rows), 1500)]
    zipped(tmp_path / f"{name}.zip", {f"Kickstarter{i:03}.csv": c for i, c in enumerate(chunks)})
    folder = tmp_path / name
    folder.mkdir()
    for i, c in enumerate(chunks): (folder / f"Kickstarter{i:03}.csv").write_bytes(c)
    expected, from_zip, from_folder = (table(tmp_path / n, tmp_path) for n in (f"{name}.json", f"{name}.zip", name))
    assert len(expected) > 5_900 and expected["run_id"].eq(name).all() and expected["snapshot_at"].notna().all()
    pd.testing.assert_frame_equal(from_zip.drop(columns="video"), expected.drop(columns="video"))
    assert from_zip["video"].eq(True).eq(expected["video"].eq(True)).all()  # an empty cell is no video, in JSON a field may be absent
    in_order = lambda t: t.sort_values("id", ignore_index=True)
    ties = ["source_url", "spotlight", "staff_pick", "video"]  # which of two listings in one crawl stands first is up to the files
    pd.testing.assert_frame_equal(in_order(from_folder).drop(columns=ties), in_order(expected).drop(columns=ties))


@pytest.mark.parametrize("seed", range(3))
def test_order_names_and_forms_of_files_do_not_matter(seed, tmp_path):
    rng = random.Random(seed)
    crawls = [[project(i, name=f"{i} in {m}", state_changed_at=1551571200 + rng.randrange(3)) for i in rng.choices(range(1, 60), k=40)] for m in MONTHS]
    contents = [zip_of(MONTHS[k], c) if k % 3 == 0 else gzip.compress(json_of(MONTHS[k], c), mtime=0) if k % 3 == 1 else json_of(MONTHS[k], c) for k, c in enumerate(crawls)]
    suffixes, seen = [".zip", ".json.gz", ".json"], []
    for turn in range(4):
        folder = tmp_path / f"turn{turn}"
        order = list(range(len(MONTHS)))
        rng.shuffle(order)
        for place, k in enumerate(order):
            sub = folder / (f"{place}" if turn % 2 else f"{rng.randrange(3)}")
            sub.mkdir(parents=True, exist_ok=True)
            (sub / f"{MONTHS[k]}{suffixes[k % 3]}" if k % 3 == 0 else sub / f"{chr(97 + place)}{suffixes[k % 3]}").write_bytes(contents[k])
        provenance, _ = acquire(folder, tmp_path / "out.parquet", quiet=True)
        assert (provenance["lines"] == provenance[["rejected", "left_out", "duplicates", "projects"]].sum(axis=1)).all()
        seen.append((tmp_path / "out.parquet").read_bytes())
    assert len(set(seen)) == 1
    found = pd.read_parquet(tmp_path / "out.parquet").set_index("id")
    for id, row in found.iterrows():
        months = [k for k, c in enumerate(crawls) if any(p["id"] == id for p in c)]
        assert row["name"] == f"{id} in {MONTHS[months[-1]]}"
        assert [row["first_seen"].month, row["last_seen"].month, row["snapshot_at"].month] == [months[0] + 1, months[-1] + 1, months[-1] + 1]
        latest = max(p["state_changed_at"] for p in crawls[months[-1]] if p["id"] == id)
        assert row["state_changed_at"] == pd.Timestamp(latest, unit="s", tz="UTC")
    assert set(found.index) == {p["id"] for p in itertools.chain(*crawls)}


def json_of(run_id, records) -> bytes:
    return b"\n".join(json.dumps({"run_id": run_id, "data": r}).encode() for r in records)


def zip_of(run_id, records) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for i in range(0, len(records), 15): archive.writestr(zipfile.ZipInfo(f"Kickstarter{i // 15:03}.csv"), as_csv(records[i : i + 15]))
    return data.getvalue()


@needs_shared
def test_the_published_csv(tmp_path):
    provenance, rejects = acquire(SHARED / "webrobots_raw_2018_11.csv", tmp_path / "out.parquet", quiet=True)
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert (len(found), len(rejects), int(provenance["repaired"].sum())) == (432, 0, 2)
    assert found[["name", "category", "creator_id", "static_usd_rate", "staff_pick", "created_at"]].notna().all(axis=None)
    assert found["state"].value_counts().to_dict() == {"successful": 249, "failed": 151, "canceled": 19, "live": 13}


@needs_shared
def test_a_batch_in_csv_form_is_scored(tmp_path):
    zipped(tmp_path / "Kickstarter_2018-11-15.zip", {"Kickstarter.csv": (SHARED / "webrobots_raw_2018_11.csv").read_bytes()})
    call("kickstarter-predict", "--batch", str(tmp_path / "Kickstarter_2018-11-15.zip"), "--out", str(tmp_path / "s.csv"), "--model", "packaged", cwd=tmp_path)
    assert len(pd.read_csv(tmp_path / "s.csv")) == 432


def test_other_data_keep_the_date_in_their_name(tmp_path):
    zipped(tmp_path / f"{MONTHS[0]}.zip", {"Kickstarter.csv": GOOD})
    (tmp_path / MONTHS[1]).mkdir()
    (tmp_path / MONTHS[1] / "Kickstarter.csv").write_bytes(GOOD)
    for k, name in enumerate((f"{MONTHS[0]}.zip", MONTHS[1])):
        found = table(gathered(str(tmp_path / name), tmp_path / f"all{k}"), tmp_path)
        assert found["run_id"].eq(MONTHS[k]).all() and found["snapshot_at"].dt.month.eq(k + 1).all()


# --- a process that dies, a disk that is full

KILLED = """
import os, signal, sys
import kickstarter_predictor.acquire as a
real, calls = getattr(a, sys.argv[3]), []
def die(*args, **more):
    calls.append(1)
    if len(calls) == 2: os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **more)
setattr(a, sys.argv[3], die)
a.BATCH, a._GROUP = 1000, 1500
a.acquire(sys.argv[1], sys.argv[2], quiet=True)
"""


@pytest.mark.parametrize("moment", ["to_batch", "check_projects"], ids=["while reading", "while writing the table"])
def test_killed_in_the_middle(moment, sample, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out" / "projects.parquet"
    data.mkdir()
    (data / "a.json").write_bytes(b"\n".join(ROWS))
    acquire(data, out, quiet=True)
    kept = out.read_bytes()
    (data / "b.json").write_bytes(sample[1])
    done = subprocess.run([sys.executable, "-c", KILLED, str(data), str(out), moment], cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL and out.read_bytes() == kept
    acquire(data, out, quiet=True)
    acquire(data, tmp_path / "again.parquet", quiet=True)
    assert out.read_bytes() == (tmp_path / "again.parquet").read_bytes() != kept


@pytest.fixture
def tiny_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True, text=True, encoding="utf-8")
    if done.returncode: pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("what", ["the table", "temporary files"])
def test_full_disk(what, tiny_disk, sample, tmp_path, monkeypatch):
    (tmp_path / "old.json").write_bytes(b"\n".join(ROWS))
    (tmp_path / "new.json").write_bytes(sample[1])
    out = (tiny_disk if what == "the table" else tmp_path) / "projects.parquet"
    if what != "the table": monkeypatch.setattr("tempfile.tempdir", str(tiny_disk))
    acquire(tmp_path / "old.json", out, quiet=True)
    kept = out.read_bytes()
    with pytest.raises(InputError, match="disk is full"): acquire(tmp_path / "new.json", out, quiet=True)
    assert out.read_bytes() == kept and [p.name for p in tiny_disk.iterdir()] == (["projects.parquet"] if what == "the table" else [])
    acquire(tmp_path / "old.json", out, quiet=True)
    assert out.read_bytes() == kept


@pytest.mark.parametrize("line, rejected", [("[]", 1), ("[ ]", 1), ("[,]", 1), ("null", 1), ('""', 1), ("[1]", 1), ("{}", 1), ("[", 0), ("]", 0), ("", 0), (",", 0)])
def test_a_line_without_a_record_is_counted(line, rejected, tmp_path):
    "But for what only separates or encloses records."
    good = [json.dumps({"data": PROJECT | {"id": i}}) for i in range(1, 9)]
    (tmp_path / "a.json").write_text("\n".join([*good[:4], line, *good[4:]]), encoding="utf-8")
    provenance, _ = acquire(tmp_path / "a.json", tmp_path / "o.parquet", quiet=True)
    assert provenance[["lines", "rejected", "projects"]].values.tolist() == [[8 + rejected, rejected, 8]]


def test_a_member_without_a_name(tmp_path):
    "Of an archive that was damaged: found by fuzzing."
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(""), "x")
        archive.writestr("a.json", json.dumps({"data": PROJECT}))
    provenance, _ = acquire(tmp_path / "a.zip", tmp_path / "o.parquet", quiet=True)
    assert provenance["projects"].sum() == 1
