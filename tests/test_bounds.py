"Time and memory are bounded whatever a snapshot holds, and every form of JSON that is one record after the other gives the same table."
import gzip
import json
import struct
import subprocess
import sys
import tarfile
import zipfile
from functools import partial

import pandas as pd
import pytest
from support.project import ROOT
from kickstarter_predictor.acquire import acquire
from kickstarter_predictor.core import InputError
from test_bad_input import ROWS, line
from test_snapshots import GOOD, PLAIN, as_csv, made, project, table

MB = 1 << 20
LINES, ARRAY = b"\n".join(ROWS) + b"\n", b"[" + b",".join(ROWS) + b","
HEADER = b"id,name,goal,state,launched_at,deadline\n"
GOOD_ROWS = b"".join(b"%d,A game,1000,failed,1548979200,1551571200\n" % i for i in range(1, 201))


def lying(method) -> bytes:
    "A zip whose member says that it unpacks to a thousand bytes."
    data = bytearray(made(method, a__json=b" " * (40 * MB) + LINES))
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)): struct.pack_into("<I", data, data.index(mark) + offset, 1000)
    return bytes(data)


def packed(*parts):
    return gzip.compress(b"".join(parts), 1, mtime=0)


HOSTILE = {  # name: (parts of the file, what comes of it: (projects, rejected) or what the message says)
    "deep_array.json.gz": (lambda: [packed(b"[" * 30_000, b"]" * 30_000)], "holds no project"),
    "deeper_array.json.gz": (lambda: [packed(b"[" * (8 * MB))], "ends within record 1"),
    "deep_objects.json.gz": (lambda: [packed(b'{"a":' * MB)], "ends within record 1"),
    "deep_element.json": (lambda: [ARRAY, b"[" * 10**5, b"]" * 10**5, b"]"], (20, 1)),
    "deep_lines.json": (lambda: [LINES * 5, (b"[" * 10**5 + b"\n" + b'{"data":' * 10**5 + b"\n") * 5], (20, 10)),
    "deep_cell.csv": (lambda: [HEADER, GOOD_ROWS, b'300,"', b"[" * 10**5, b'",1000,failed,1548979200,1551571200\n'], (200, 1)),
    "string_in_array.json": (lambda: [ARRAY, b'"', b"x" * (300 * MB), b'",', line(id=21), b"]"], (21, 1)),
    "name_in_array.json": (lambda: [ARRAY, b'{"data":{"id":1,"name":"', b'x\\"' * (20 * MB), b'"}},', line(id=21), b"]"], (21, 1)),
    "long_line.json": (lambda: [LINES, b'{"data":{"id":1,"name":"', b"x" * (100 * MB), b'"}}\n', line(id=21)], (21, 1)),
    "long_line.csv": (lambda: [HEADER, GOOD_ROWS, b'300,"', b"x" * (100 * MB), b'"\n301,A,1,live,1548979200,1551571200\n'], (201, 1)),
    "long_names.json": (lambda: [LINES * 20, *(line(id=100 + i, name="n" * (2 * MB)) + b"\n" for i in range(60))], (20, 60)),
    "many_texts.json": (lambda: [LINES, *(line(id=100 + i, name="n" * 9_000, blurb="\U0001f3b2" + "b" * 9_000) + b"\n" for i in range(5_000))], (5_020, 0)),
    "long_past.json": (lambda: [LINES * 20, *(line(id=100 + i, earlier_campaigns=json.loads("[" + "[]," * n + "[]]")) + b"\n" for i, n in enumerate([MB // 2, 3 * MB]))], (21, 1)),
    "blank_lines.json.gz": (lambda: [packed(LINES, b"\n" * (8 * MB))], (20, 0)),
    "empty_arrays.json.gz": (lambda: [packed(LINES[:-1], b"[]" * (4 * MB))], (19, 1)),
    "empty_objects.json.gz": (lambda: [packed(b"{}" * (4 * MB))], "holds no project: 1"),
    "bad_lines.json.gz": (lambda: [packed(LINES, b"{}\n" * (4 * MB))], "more than 20% cannot be read: 1"),
    "backslashes.json": (lambda: [ARRAY, b'"', b"\\" * (8 * MB), b'",', line(id=21), b"]"], (21, 1)),
    "open_quotation_marks.csv": (lambda: [HEADER, b'a"b,"\n' * 12_000], "holds no project"),
    "one_open_quotation_mark.csv": (lambda: [HEADER, GOOD_ROWS, b'300,"x\n', GOOD_ROWS * 500], (200, 1)),
    "many_open_quotation_marks.csv": (lambda: [HEADER, GOOD_ROWS * 500, b'a"b,"\n' * 24_000], (200, 23_996)),
    "deep_page.csv": (lambda: [b"run_id,projects\n", b'r,"' + b"[" * 10**6 + b'"\n', b'r,"' + b"-" * 10**5 + b'1"\n'], "holds no project: 2 of 2"),
    "lying_bzip2.zip": (lambda: [lying(zipfile.ZIP_BZIP2)], "a.json is packed by bzip2"),
    "lying_lzma.zip": (lambda: [lying(zipfile.ZIP_LZMA)], "a.json is packed by LZMA"),
    "lying_deflated.zip": (lambda: [lying(zipfile.ZIP_DEFLATED)], "lying_deflated.zip: a.json"),
    "lying_stored.zip": (lambda: [lying(zipfile.ZIP_STORED)], "lying_stored.zip: a.json"),
}
READ = """import json, sys, time
from pathlib import Path
from kickstarter_predictor.acquire import acquire
from kickstarter_predictor.core import InputError
acquire(Path(sys.argv[1]), Path(sys.argv[2]), quiet=True)
for path in map(str.strip, iter(sys.stdin.readline, "")):
    start = time.process_time()
    try:
        row = acquire(Path(path), Path(sys.argv[2]), quiet=True)[0].iloc[0]
        assert row["lines"] == row[["projects", "duplicates", "rejected", "left_out", "not_launched"]].sum()
        result = [int(row["projects"]), int(row["rejected"])]
    except InputError as e:
        result = str(e)
    peak = next(line for line in open("/proc/self/status", encoding="utf-8") if line.startswith("VmHWM"))
    print(json.dumps([result, time.process_time() - start, int(peak.split()[1]) / 1024]), flush=True)
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    "What reads a hostile file in another process: (result, seconds of processor, peak of memory in MB, of all files so far)."
    if sys.platform != "linux": pytest.skip("the peak of memory is read from /proc")
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "good.json").write_bytes(LINES)

    def read(name):
        path = folder / name
        with open(path, "wb") as file: file.writelines(HOSTILE[name][0]())
        print(path, file=reader.stdin, flush=True)
        answer = reader.stdout.readline()
        path.unlink()
        return json.loads(answer)

    command = [sys.executable, "-c", READ, str(folder / "good.json"), str(folder / "out.parquet")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8") as reader:
        yield read
        reader.stdin.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_time_and_memory_are_bounded(name, read):
    result, seconds, peak = read(name)
    expected = HOSTILE[name][1]
    if isinstance(expected, str): assert name in result and expected in result and len(result) < 400
    else: assert tuple(result) == expected
    assert seconds < 10 and peak < 500


# --- one record after the other, in every form

RECORDS = [json.loads(row) for row in ROWS]
PAGES = [{"projects": [r["data"] for r in RECORDS[i : i + 4]]} for i in range(0, 20, 4)]
indented = partial(json.dumps, indent=1)
FORMS = {
    "lines that end in commas": b",\n".join(ROWS) + b",\n",
    "lines that begin with commas": b"\n,".join(ROWS),
    "Windows line ends": b"\r\n".join(ROWS),
    "a text sequence": b"".join(b"\x1e" + row + b"\n" for row in ROWS),
    "a text sequence over lines": b"".join(b"\x1e" + indented(r).encode() + b"\n" for r in RECORDS),
    "a text sequence without line ends": b"\x1e".join(ROWS),
    "an array": b"[" + b",".join(ROWS) + b"]",
    "an array, a record a line": b"[\n" + b",\n".join(ROWS) + b"\n]\n",
    "an array, brackets beside the records": b"[" + b",\n".join(ROWS) + b"]",
    "an array over lines": indented(RECORDS).encode(),
    "an array without its end": b"[\n" + b",\n".join(ROWS) + b"\n",
    "an array without its beginning": b",\n".join(ROWS) + b"\n]\n",
    "an array over lines without its end": indented(RECORDS).encode()[:-2],
    "an array over lines without its beginning": indented(RECORDS).encode()[1:],
    "an array a line": b"\n".join(b"[" + row + b", " + other + b"]" for row, other in zip(ROWS[::2], ROWS[1::2])),
    "objects over lines": "\n".join(map(indented, RECORDS)).encode(),
    "objects over lines, comma between": ",\n".join(map(indented, RECORDS)).encode(),
    "objects with nothing between": b"".join(ROWS),
    "old line ends": b"\r".join(ROWS),
    "a byte order mark": b"\xef\xbb\xbf[\n" + b",\n".join(ROWS) + b"\n]",
    "a byte order mark, over lines": b"\xef\xbb\xbf" + indented(RECORDS).encode(),
    "files strung together": b"\xef\xbb\xbf" + b"\n".join(ROWS[:9]) + b"\n\xef\xbb\xbf" + b"\n".join(ROWS[9:]),
    "an array of pages": json.dumps(PAGES).encode(),
    "an array of pages over lines": indented(PAGES).encode(),
    "an array of pages, a project a line": b"[" + b",\n".join(b'{"projects": [\n' + b",\n".join(json.dumps(p).encode() for p in page["projects"]) + b"\n]}" for page in PAGES) + b"]",
    "one page": json.dumps({"projects": [r["data"] for r in RECORDS]}).encode(),
    "pages a line": b"\n".join(json.dumps({"data": page}).encode() for page in PAGES),
}
CELLS = {
    "JSON in a column projects": lambda page: {"projects": json.dumps(page["projects"])},
    "Python in a column projects": lambda page: {"projects": str(page["projects"])},
    "JSON in a column data": lambda page: {"data": json.dumps(page)},
    "Python in a column data": lambda page: {"data": str(page)},
}
FORMS |= {name: pd.DataFrame([{"id": 0, "run_id": RECORDS[0]["run_id"], **cells(page)} for page in PAGES]).to_csv(index=False).encode() for name, cells in CELLS.items()}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "zip"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_table(form, packed, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "expected.json").write_bytes(b"\n".join(ROWS))
    suffix = "csv" if "column" in form else "json"
    if packed: (folder / "Kickstarter_2020-04-16T03_20_04_541Z.zip").write_bytes(made(**{f"a__{suffix}": FORMS[form]}))
    else: (folder / f"Kickstarter_2020-04-16T03_20_04_541Z.{suffix}").write_bytes(FORMS[form])
    expected = table(tmp_path / "expected.json", tmp_path)
    provenance, _ = acquire(folder, tmp_path / "out.parquet", quiet=True)
    said_by_no_page = ["robot_id"] if "page" in form or "column" in form else []
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet").drop(columns=said_by_no_page), expected.drop(columns=said_by_no_page))
    row = provenance.iloc[0]
    assert (row["lines"], row["rejected"], row["repaired"]) == (20, 0, "without its" in form)


def test_a_damaged_record_costs_itself(tmp_path):
    over_lines = indented(RECORDS).encode()
    for k, (old, new) in enumerate([(b'"A game"', b'"A game'), (b'"A game"', b"A game"), (b'"A game"', b'"A \\ud800 game"'), (b'"A game"', b'"A \xff game"'), (b'"A game"', b'"A "game"'), (b'"goal": 1000', b'"goal": x')]):
        on_one_line = [b",".join(ROWS)] if new.count(b'"') % 2 == 0 else []  # an odd quotation mark costs the rest of its line
        for data in (over_lines, *on_one_line, b"[" + b",\n".join(ROWS) + b"]"):
            (tmp_path / "a.json").write_bytes(data.replace(old, new, 1))
            provenance, _ = acquire(tmp_path / "a.json", tmp_path / "out.parquet", quiet=True)
            row = provenance.iloc[0]
            assert (row["projects"], row["rejected"], row["lines"]) == (19, 1, 20), (k, data[:9])


def test_an_array_that_was_cut_off_is_refused(tmp_path):
    for data in (indented(RECORDS).encode(), b"[" + b",".join(ROWS) + b"]", b"[\n" + b",\n".join(ROWS) + b"\n]"):
        (tmp_path / "a.json").write_bytes(data[:-40])
        with pytest.raises(InputError, match="a.json: its JSON (array )?ends within"): acquire(tmp_path / "a.json", tmp_path / "out.parquet", quiet=True)


def test_reasons_do_not_depend_on_the_place(tmp_path):
    bad = [line(id=50).replace(b"A game", b"x" * i + wrong) for i in range(50) for wrong in (b"\xff", b"\\ud800", b"\xed\xa0\x80", b"\t")]
    for data in (b"\n".join(ROWS * 60 + bad), b"[" + b",".join(ROWS * 60 + bad) + b"]"):
        (tmp_path / "a.json").write_bytes(data)
        provenance, _ = acquire(tmp_path / "a.json", tmp_path / "out.parquet", quiet=True, max_rejected=0.5)
        row = provenance.iloc[0]
        assert row["rejected"] >= 200 and len(row["reasons"]) < 12 and row["lines"] == row[["projects", "duplicates", "rejected"]].sum()


def test_surrogates_in_cells(tmp_path):
    rows = [project(i, category=PLAIN["category"] | {"name": "A game"}) for i in range(1, 9)]
    (tmp_path / "a.csv").write_bytes(as_csv(rows).replace(b'""A game""', b'""\\ud800""', 2))
    provenance, _ = acquire(tmp_path / "a.csv", tmp_path / "out.parquet", quiet=True)
    assert provenance.iloc[0]["projects"] == 8 and provenance.iloc[0]["repaired"] == 2


# --- archives

def tarred(format, mode) -> bytes:
    import io

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, format=format) as archive:
        info = tarfile.TarInfo("Kickstarter.csv")
        info.size = len(GOOD)
        archive.addfile(info, io.BytesIO(GOOD))
    return file.getvalue()


def old_tar() -> bytes:
    "As before POSIX: without a magic number."
    data = bytearray(tarred(tarfile.USTAR_FORMAT, "w:"))
    data[257:265] = bytes(8)
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + 8 * 32 + sum(data[156:512]))
    return bytes(data)


TAR = tarred(tarfile.PAX_FORMAT, "w:")
ARCHIVES = {
    "a.tar": TAR, "a.tar.gz": tarred(tarfile.GNU_FORMAT, "w:gz"), "a.tgz": tarred(tarfile.USTAR_FORMAT, "w:gz"), "a.json": TAR, "a.csv": old_tar(),
    "a.tar.bz2": tarred(tarfile.PAX_FORMAT, "w:bz2"), "a.json.xz": tarred(tarfile.PAX_FORMAT, "w:xz"), "in.zip": made(a__tar=TAR), "in_gz.zip": made(a__tar__gz=gzip.compress(TAR)),
    "a.7z": b"7z\xbc\xaf\x27\x1c" + bytes(99), "a.json.zst": b"\x28\xb5\x2f\xfd" + bytes(99), "a.rar": b"Rar!\x1a\x07" + bytes(99),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_other_archives_are_refused_by_name(name, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / name).write_bytes(ARCHIVES[name])
    (folder / "good.csv").write_bytes(GOOD)
    with pytest.raises(InputError, match=f"{name}.*: holds another archive \\(.*unpack it"): acquire(folder, tmp_path / "out.parquet", quiet=True)
