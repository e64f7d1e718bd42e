"The record of predictions on real databases: SQLite, MariaDB and PostgreSQL, away, back, killed, refused, and in several processes."
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import pandas as pd
import pytest
from support.project import call
from kickstarter_predictor.requests import to_row
from kickstarter_predictor.spool import Aside, to_line
from kickstarter_predictor.record import (
    FULL, LIMITED, NOTE, NOT_STORED, REFUSED, REPAIR, Recorder, forget, count_stored,
)
from kickstarter_predictor.core import InputError
from sqlalchemy import make_url

CAMPAIGN = {"name": "Fog & Lanterns", "goal": 12000.0, "currency": "USD", "launched_at": datetime(2026, 12, 1, 18, 30, tzinfo=timezone.utc), "days": 30.0}
pytestmark = pytest.mark.usefixtures("recording")


@pytest.fixture
def recorders(tmp_path):
    "Make recorders with a common spool; they are closed at the end."
    made = []

    def make(uri, **options):
        made.append(Recorder(uri, **({"spool": tmp_path / "spool", "wait": 15} | options)))
        return made[-1]

    yield make
    for r in made:
        r.close(0)


def keep(recorder, visitor="v1", probability=0.5, **fields) -> bool:
    return recorder.record({**CAMPAIGN, **fields}, probability, 0.4, 0.6, "packaged", visitor)


def probabilities(recorder, visitor="v1"):
    return [t.probability for t in recorder.requests(visitor, 1000)]


def query(uri, statement):
    from kickstarter_predictor.database import connect

    engine = connect(uri)
    with engine.begin() as c:
        found = c.exec_driver_sql(statement)
        rows = found.fetchall() if found.returns_rows else None
    engine.dispose()
    return rows


TEXTS = [
    "", " ", "plain", "trailing ", "O'Brien", '"quoted"', "back\\slash", "100 % of %s %(name)s :name {0} ?", "a;b--c/*d*/#e", "line\nbreak\r\ttab",
    "'; DROP TABLE campaigns; --", "' OR '1'='1", "1; DELETE FROM campaigns", "x' UNION SELECT * FROM campaigns --", "\\'; DROP TABLE campaigns; #",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "{{7*7}} ${7*7}", "nul\0inside", "\0", "half \ud83d pair", "\udfff",
    "emoji 🏮🎲👩‍👩‍👧‍👦🇫🇷", "עברית ואז עוד", "\u202eright to left\u202c", "العربية", "中文日本語한국어", "ﷺ" * 40, "e\u0301 é ß SS ı İ", "Ünïcödé ÅÄÖ",
    "zero\u200bwidth\ufeff", "\u2028\u2029\x85", "control \x01\x1b[31m\x7f", "𝕏𝕐ℤ \U0010ffff", "x" * 200, "x" * 201, "🏮" * 300, "y" * 1_000_000, "../../etc/passwd", "NULL", "NaN",
]  # fmt: skip
NUMBERS = [0.1 + 0.2, 1e9, 5e-324, 1.7976931348623157e308, float("inf"), float("nan"), -1.0, 10**400, 0, True, "12", "abc", None, 1 / 3]
TIMES = ["2026-12-01", "2026-12-01T18:30+14:00", "9999-12-31T23:59:59.999999", "0001-01-01", "1969-07-20T20:17:40.000001", "2024-02-29T23:59:60", "soon", 5, None, "2026-03-29T02:30"]


def test_what_is_written_is_read_back(uri, recorders):
    "Unicode, injections, odd numbers and times: each column as `to_row` has it, on each database the same."
    recorder = recorders(uri)
    given = [{"name": t, "blurb": t, "category": t, "link": t} for t in TEXTS]
    given += [{"goal": n, "days": n} for n in NUMBERS] + [{"launched_at": t, "created_at": t} for t in TIMES]
    given += [{"video": v, "staff_pick": v} for v in (True, False, None, "yes")]
    given += [{"earlier_campaigns": c, "earlier_successes": s} for c, s in ((3, 2), (0, 0), (None, None), (10**30, "x"))]
    for i, fields in enumerate(given):
        assert recorder.record({"name": "x", **fields}, i / len(given), 0.1, 1 / 3, fields.get("name", "m"), f"visitor-{i}"), fields
    for i, fields in enumerate(given):
        [found] = recorder.requests(f"visitor-{i}")
        wanted = to_row({"name": "x", **fields}, i / len(given), 0.1, 1 / 3, fields.get("name", "m"), "")
        assert found.campaign == {k: wanted[k] for k in CAMPAIGN_FIELDS if wanted[k] is not None}
        assert (found.probability, found.low, found.high, found.model, found.link) == tuple(wanted[k] for k in ("probability", "low", "high", "model", "link"))
        assert found.at.tzinfo is timezone.utc and abs((datetime.now(timezone.utc) - found.at).total_seconds()) < 60
    assert query(uri, "SELECT COUNT(*) FROM campaigns")[0][0] == len(given)


CAMPAIGN_FIELDS = ["name", "blurb", "goal", "currency", "country", "category", "parent", "days", "launched_at", "created_at", "video", "staff_pick", "earlier_campaigns", "earlier_successes"]


def test_visitors_see_their_own_tries_only(uri, recorders):
    recorder = recorders(uri)
    odd = ["ada", "Ada", "ada ", "ad%", "ad_", "' OR '1'='1", "x" * 64, "x" * 65, "x" * 5000, "é", "e\u0301", "ada\0"]
    for i, visitor in enumerate(odd):
        assert keep(recorder, visitor, i / 100)
    assert keep(recorder, "", 0.9)
    assert [probabilities(recorder, v) for v in odd] == [[i / 100] for i in range(len(odd))]
    assert recorder.requests("") == recorder.requests("nobody") == []
    for p in range(10):
        keep(recorder, "many", p / 10)
    assert [t.probability for t in recorder.requests("many", 3)] == [0.9, 0.8, 0.7] and recorder.requests("many", 0) == []


def test_forget(uri, recorders):
    recorder = recorders(uri)
    for visitor in ("ada", "ben", "ada"):
        keep(recorder, visitor)
    assert forget(recorder, "ada") == 2 and not recorder.requests("ada") and len(recorder.requests("ben")) == 1
    assert forget(recorder, "ada") == 0 and forget(recorder, before=datetime(2020, 1, 1)) == 0
    assert forget(recorder, before=datetime.now(timezone.utc)) == 1 and not recorder.requests("ben")
    assert keep(recorder, "ada") and len(recorder.requests("ada")) == 1, "who was forgotten may come back"


def test_many_threads(uri, recorders):
    recorder = recorders(uri)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda i: keep(recorder, f"v{i % 8}", i / 100), range(80)))
    assert sorted(p for v in range(8) for p in probabilities(recorder, f"v{v}")) == [i / 100 for i in range(80)]


WRITES = textwrap.dedent("""
    import sys
    from kickstarter_predictor.record import Recorder
    recorder = Recorder(sys.argv[1], spool=sys.argv[2], wait=30)
    print(sum(recorder.record({"name": "n"}, i / 100, 0, 1, "m", sys.argv[3]) for i in range(int(sys.argv[4]))), flush=True)
    recorder.close(20)
""")


def start(program, *args, env=None):
    return subprocess.Popen([sys.executable, "-c", program, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}, encoding="utf-8")


def test_two_processes_make_the_table_and_write(uri, recorders, tmp_path):
    running = [start(WRITES, uri, tmp_path / "spool", v, 100) for v in ("ada", "ben")]
    said = [p.communicate(timeout=60) for p in running]
    assert [s[0] for s in said] == ["100\n", "100\n"], said
    recorder = recorders(uri)
    assert probabilities(recorder, "ada") == probabilities(recorder, "ben") == [i / 100 for i in reversed(range(100))]
    assert not list((tmp_path / "spool").iterdir())


def test_server_restarts_during_use(server, recorders, tmp_path):
    uri = server.empty()
    recorder, quiet = recorders(uri), recorders(uri)
    assert keep(recorder, probability=0.1) and recorder.note is None and keep(quiet, "other")
    server.stop()
    assert not keep(recorder, probability=0.2)
    assert recorder.note == NOTE and probabilities(recorder) == [0.2]
    begin = time.monotonic()
    assert not keep(recorder, probability=0.3) and recorder.requests("v1") and time.monotonic() - begin < 0.5, "a page waits for a database that is away"
    with pytest.raises(InputError, match="away"):
        forget(recorder, "other")
    server.start()
    assert recorder.flush(20) and recorder.note is None and probabilities(recorder) == [0.3, 0.2, 0.1]
    server.stop(), server.start()
    assert keep(quiet, "other"), "a restart between two tries is not noticed"
    assert len(quiet.requests("other")) == 2 and not list((tmp_path / "spool").iterdir())


def test_wrong_password(server, recorders, caplog):
    right = server.empty()
    wrong = recorders(server.uri(make_url(right).database, "hunter2/secret"))
    with caplog.at_level("WARNING"):
        assert not keep(wrong) and wrong.note == NOTE and wrong.requests("v1")
        assert not keep(wrong)
    said = f"{caplog.text} {wrong.writer.reason} {wrong.note} {wrong.stored_text}"
    assert "hunter2" not in said and ("denied" in said or "authentication failed" in said)
    wrong.close(0)
    assert recorders(right).flush(20) and query(right, "SELECT COUNT(*) FROM campaigns")[0][0] == 2


def test_a_table_that_is_dropped_is_made_again(uri, recorders):
    recorder = recorders(uri)
    assert keep(recorder)
    query(uri, "DROP TABLE campaigns")
    keep(recorder, probability=0.7)
    assert recorder.flush(20) and probabilities(recorder) == [0.7]


def test_a_row_that_is_refused_does_not_hold_up_the_others(server, recorders):
    uri = server.empty()
    recorder = recorders(uri)
    assert keep(recorder, probability=0.1)
    query(uri, "ALTER TABLE campaigns " + ("MODIFY name VARCHAR(14)" if server.driver == "mysql" else "ALTER name TYPE VARCHAR(14)"))
    recorder.wait = 0.2
    assert not keep(recorder, probability=0.2, name="longer than fourteen") and recorder.note == REFUSED
    recorder.wait = 15
    assert keep(recorder, probability=0.3) and probabilities(recorder) == [0.3, 0.2, 0.1], "the visitor sees the one that waits, too"
    query(uri, "ALTER TABLE campaigns " + ("MODIFY name VARCHAR(200)" if server.driver == "mysql" else "ALTER name TYPE VARCHAR(200)"))
    assert recorder.flush(20) and query(uri, "SELECT COUNT(*) FROM campaigns")[0][0] == 3 and recorder.note is None


KILLED = textwrap.dedent("""
    import os, signal, sys
    from kickstarter_predictor.record import Recorder
    recorder = Recorder(sys.argv[1], spool=sys.argv[2], wait=float(sys.argv[3]))
    for i in range(5):
        recorder.record({"name": "n\\0\\ud83d"}, i / 10, 0, 1, "m", "v1")
    os.kill(os.getpid(), signal.SIGKILL)
""")


def test_kill_minus_nine_loses_nothing(uri, recorders, tmp_path):
    "At once, while the writer may be anywhere; after which the tries are in the table once each, also when the spool is found again."
    spool = tmp_path / "spool"
    for wait in (10, 0.003, 0):
        process = start(KILLED, uri, spool, wait)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
    copies = {p.name: p.read_bytes() for p in spool.glob("*.jsonl")}
    assert copies, "the last was killed before it could write"
    recorder = recorders(uri)
    assert recorder.flush(20) and sorted(probabilities(recorder)) == sorted([i / 10 for i in range(5)] * 3)
    assert not list(spool.iterdir())
    for name, content in copies.items():
        (spool / name).write_bytes(content + b'{"id": "torn')
    again = recorders(uri)
    assert again.flush(20) and len(again.requests("v1", 100)) == 15 and not list(spool.iterdir())


def test_a_living_process_keeps_its_spool(recorders, tmp_path):
    place = tmp_path / "place"
    place.write_text("in the way", encoding="utf-8")
    away, uri = recorders(f"sqlite:///{place}/x.sqlite", wait=0.2), f"sqlite:///{tmp_path}/y.sqlite"
    assert not keep(away)
    assert recorders(uri).flush(20) and not recorders(uri).requests("v1") and len(list((tmp_path / "spool").glob("*.jsonl"))) == 1
    away.close(0)
    assert recorders(uri).flush(20) and len(recorders(uri).requests("v1")) == 1


def test_a_full_queue_is_said(recorders, tmp_path):
    (tmp_path / "place").write_text("in the way", encoding="utf-8")
    recorder = recorders(f"sqlite:///{tmp_path}/place/x.sqlite", queue=3)
    assert not any(keep(recorder) for _ in range(5)) and recorder.note == FULL and len(recorder.requests("v1")) == 3


FULL_DISK = textwrap.dedent("""
    import resource, sys
    from kickstarter_predictor.record import Recorder
    recorder = Recorder(sys.argv[1], spool=sys.argv[2], wait=10)
    stored = [recorder.record({"name": "n", "blurb": "x" * 1000}, 0.5, 0, 1, "m", "v1") for _ in range(3)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    stored += [recorder.record({"name": "n", "blurb": "x" * 1000}, 0.5, 0, 1, "m", "v1") for _ in range(3)]
    note = bool(recorder.note)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.getrlimit(resource.RLIMIT_FSIZE)[1],) * 2)
    print(stored, note, recorder.flush(20), len(recorder.requests("v1")), recorder.note)
    recorder.close()
""")


def test_no_room_for_database_or_spool(tmp_path):
    "A limit on the size of files stands for a full disk: the tries wait in memory and are written when there is room."
    said = start(FULL_DISK, f"sqlite:///{tmp_path}/x.sqlite", tmp_path / "spool").communicate(timeout=60)
    assert said[0] == "[True, True, True, False, False, False] True True 6 None\n", said


def test_read_only_file(recorders, tmp_path):
    file = tmp_path / "x.sqlite"
    first = recorders(f"sqlite:///{file}")
    assert keep(first)
    first.close()
    recorder = recorders(f"sqlite:///file:{file}?mode=ro&uri=true")
    assert recorder.flush(20) and probabilities(recorder) == [0.5], "what is there can be read"
    assert not keep(recorder, probability=0.7) and recorder.note == NOTE and "readonly" in recorder.writer.reason
    recorder.close(0)
    assert recorders(f"sqlite:///{file}").flush(20) and probabilities(recorders(f"sqlite:///{file}")) == [0.7, 0.5]


def test_locked_file(recorders, tmp_path):
    "Another program holds the SQLite file: the page does not wait for it."
    file = tmp_path / "x.sqlite"
    recorder = recorders(f"sqlite:///{file}", wait=0.05)
    assert recorder.flush(20)
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    begin = time.monotonic()
    assert not keep(recorder) and time.monotonic() - begin < 1
    holder.execute("ROLLBACK")
    assert recorder.flush(20) and probabilities(recorder) == [0.5]


@pytest.mark.parametrize("scheme", ["mysql://u:hunter2@", "postgresql://u:hunter2@"])
def test_a_server_that_never_answers(recorders, scheme):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(16)
        recorder = recorders(f"{scheme}127.0.0.1:{deaf.getsockname()[1]}/x", wait=0.05)
        begin = time.monotonic()
        assert not keep(recorder) and time.monotonic() - begin < 0.5
        assert len(recorder.requests("v1")) == 1 and time.monotonic() - begin < 5
        assert recorder.note == NOTE and "hunter2" not in recorder.writer.reason
        begin = time.monotonic()
        assert not keep(recorder) and len(recorder.requests("v1")) == 2 and time.monotonic() - begin < 0.5


@pytest.mark.parametrize("uri", ["hunter2", "mysql:hunter2@host", "mysql://u:hunter2@host:port/x", "paradox://u:hunter2@h/x", "mysql+mysqldb://u:hunter2@h/x", "sqlite:////proc/none/x.sqlite", "mysql://u:hunter2@127.0.0.1:1/x", "postgresql://u:hunter2@no.such.host.invalid/x"])
def test_an_address_that_cannot_be_used(recorders, uri):
    recorder = recorders(uri, wait=0.5)
    assert not keep(recorder) and recorder.flush(0.5) is False
    assert len(recorder.requests("v1")) == 1 and recorder.note == NOTE and recorder.writer.reason and "hunter2" not in recorder.writer.reason


def test_switched_off(tmp_path, monkeypatch):
    monkeypatch.setenv("KICKSTARTER_RECORD", "off")
    uri = f"sqlite:///{tmp_path}/db/x.sqlite"
    for recorder in (Recorder(uri), Recorder(uri, enabled=False)):
        assert not keep(recorder) and recorder.requests("v1") == [] and recorder.note is None and recorder.stored_text == NOT_STORED and recorder.flush(1)
        recorder.close()
    assert not list(tmp_path.iterdir())


def test_switched_off_by_parameter(copy, monkeypatch):
    monkeypatch.delenv("KICKSTARTER_RECORD")
    text = (copy / "params.yaml").read_text(encoding="utf-8")
    (copy / "params.yaml").write_text(text.replace("record:\n  enabled: true", "record:\n  enabled: false"), encoding="utf-8")
    program = "from kickstarter_predictor.record import Recorder; print(Recorder().stored_text)"
    assert call(sys.executable, "-c", program, cwd=copy).stdout.strip() == NOT_STORED
    (copy / "params.yaml").write_text(text, encoding="utf-8")
    assert call(sys.executable, "-c", program, cwd=copy).stdout.startswith("Stored with each prediction")


def test_import_is_light():
    program = "import sys, kickstarter_predictor.record; print(sorted({'numpy', 'pandas', 'scipy', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, encoding="utf-8").stdout == "[]\n"


def test_nothing_of_a_campaign_is_readable_by_others(recorders, tmp_path):
    (tmp_path / "place").write_text("in the way", encoding="utf-8")
    keep(recorders(f"sqlite:///{tmp_path}/place/x.sqlite", wait=0.1))
    [file] = (tmp_path / "spool").glob("*.jsonl")
    assert file.stat().st_mode & 0o077 == 0 and json.loads(file.read_text(encoding="utf-8"))["name"] == CAMPAIGN["name"]


@pytest.fixture
def record(tmp_path):
    "Call `record` at the command line, without a terminal; the spool is that of `recorders`."

    def run(*args, uri, check=False):
        env = {"SQLALCHEMY_DATABASE_URI": uri, "KICKSTARTER_SPOOL": str(tmp_path / "spool")}
        return call(sys.executable, "-m", "kickstarter_predictor.record", *args, cwd=tmp_path, env=env, check=check, stdin="")

    return run


def one_line(done, *words):
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and all(w in done.stderr for w in ("record: ", *words)), done
    return True


def test_status_and_forget_at_the_command_line(uri, recorders, record):
    recorder = recorders(uri)
    assert keep(recorder, "ada") and keep(recorder, "ben")
    assert record("status", uri=uri, check=True).stdout == "the database is there, and nothing waits\n"
    assert one_line(record("forget", "--visitor", "ada", uri=uri), "1 rows of", "nothing is deleted without --yes") and recorder.requests("ada")
    every = [["--before", ""], ["--visitor", ""], ["--visitor", " "], ["--before", "\t"], ["--visitor", "ada", "--before", ""], [], ["--before", "9999-12-31"]]
    for wrong in every if uri.startswith("sqlite") else every[:1]:
        assert one_line(record("forget", "--yes", *wrong, uri=uri)) and len(recorder.requests("ada")) == len(recorder.requests("ben")) == 1
    assert record("forget", "--yes", "--before", "soon", uri=uri).stderr == "record: --before = 'soon': must be a date such as 2026-12-01\n"
    assert one_line(record("forget", "--yes", "--visitor", "ada", uri=""), "SQLALCHEMY_DATABASE_URI is empty"), "not another database instead"
    assert record("forget", "--yes", "--visitor", "ada", uri=uri, check=True).stdout.startswith("1 row deleted from ")
    assert not recorder.requests("ada") and recorder.requests("ben")
    if "@" in uri:
        password = uri.split("@")[0].split(":")[-1]
        done = record("status", uri=uri.replace(password, "hunter2"))
        assert one_line(done, "record: the database is away") and "hunter2" not in done.stderr + done.stdout


def test_forget_asks_at_a_terminal(recorders, tmp_path):
    import pty

    uri = f"sqlite:///{tmp_path}/x.sqlite"
    recorder = recorders(uri)
    assert keep(recorder, "ada")
    env = {**os.environ, "SQLALCHEMY_DATABASE_URI": uri, "KICKSTARTER_SPOOL": str(tmp_path / "spool")}
    for answer, left in ((b"\n", 1), (b"no\n", 1), (b"y\n", 0)):
        here, there = pty.openpty()
        os.write(here, answer)
        done = subprocess.run([sys.executable, "-m", "kickstarter_predictor.record", "forget", "--visitor", "ada"], stdin=there, capture_output=True, text=True, env=env, timeout=60, encoding="utf-8")
        os.close(here), os.close(there)
        assert "1 rows of" in done.stdout and done.returncode == bool(left) and len(recorder.requests("ada")) == left


# What must never become "everything".
NO_CONDITION = [(None, None), ("", None), (" \t", None), (0, None), (False, None), (float("nan"), None), (["ada"], None), (None, ""), (None, "  "), (None, "last month"), (None, float("nan")),
                (None, pd.NaT), (None, 0), (None, False), (None, "NaT"), (None, datetime(9000, 1, 1)), (None, "9999-12-31"), ("ada", ""), ("ada", "soon"), ("ada", pd.NaT), ("", "2020-01-01")]  # fmt: skip


@pytest.mark.parametrize("visitor,before", NO_CONDITION)
def test_what_is_no_condition_deletes_nothing(visitor, before, recorders, tmp_path):
    recorder = recorders(f"sqlite:///{tmp_path}/x.sqlite")
    assert keep(recorder, "ada") and keep(recorder, "")
    with pytest.raises(InputError):
        forget(recorder, visitor, before)
    assert query(recorder.database.uri, "SELECT COUNT(*) FROM campaigns")[0][0] == 2 and not query(recorder.database.uri, "SELECT * FROM forgotten")


ROW = json.loads(to_line(to_row(CAMPAIGN, 0.5, 0.4, 0.6, "packaged", "ada")))
BAD = {
    "nested arrays": b"[" * 30_000, "nested objects": b'{"a":' * 12_000, "closed nesting": b"[" * 5_000 + b"]" * 5_000, "nested in a cell": json.dumps(ROW)[:-1].encode() + b', "link": ' + b"[" * 9_000 + b"]" * 9_000 + b"}",
    "project_id beyond 64 bits": ROW | {"project_id": 2**63}, "far beyond": ROW | {"project_id": 10**400}, "too many digits": json.dumps(ROW)[:-1].encode() + b', "goal": ' + b"9" * 5_000 + b"}",
    "not JSON": b"hello", "half a line": json.dumps(ROW).encode()[:99], "two in one": json.dumps(ROW).encode() * 2, "not UTF-8": json.dumps(ROW | {"name": "caf?"}).encode().replace(b"?", b"\xe9"), "UTF-16": json.dumps(ROW).encode("utf-16"),
    "byte-order mark": b"\xef\xbb\xbf" + json.dumps(ROW).encode(), "NUL bytes": b"\0" * 4096, "NUL in a text": ROW | {"name": "nul\0"}, "lone surrogate": ROW | {"blurb": "half \ud83d"}, "no object": [ROW], "a number": 3, "null": None, "text": "row",
    "goal a text": ROW | {"goal": "12000"}, "goal true": ROW | {"goal": True}, "goal infinite": ROW | {"goal": float("inf")}, "goal NaN": ROW | {"goal": float("nan")}, "goal an object": ROW | {"goal": {}}, "video a number": ROW | {"video": 1},
    "name a number": ROW | {"name": 5}, "name a list": ROW | {"name": ["x"]}, "no date": ROW | {"launched_at": "soon"}, "impossible date": ROW | {"asked_at": "2026-02-30T00:00:00"}, "date a number": ROW | {"asked_at": 1_700_000_000}, "beyond the calendar": ROW | {"created_at": "0001-01-01T00:00:00+14:00"},
    "unknown column": ROW | {"tenant": "x"}, "hostile column": ROW | {"id) VALUES (1); DROP TABLE campaigns; --": 1}, "too long a text": ROW | {"name": "x" * 201}, "huge line": b"x" * 3_000_000, "huge text": ROW | {"blurb": "x" * 3_000_000},
    "no id": {k: v for k, v in ROW.items() if k != "id"}, "id null": ROW | {"id": None}, "another id": ROW | {"id": "x" * 32}, "no visitor": ROW | {"visitor": None}, "odd visitor": ROW | {"visitor": "a b"}, "no probability": ROW | {"probability": None},
}  # fmt: skip


def a_line(content) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def test_a_bad_line_is_set_aside_and_the_rest_goes_on(uri, recorders, record, tmp_path):
    "Each kind in a file of its own and all in one, good rows before and behind: the rows are written, now and after a restart, and can be forgotten."
    spool, good = tmp_path / "spool", [ROW | {"id": f"{i:032x}"} for i in range(2 * len(BAD) + 2)]
    spool.mkdir()
    for i, content in enumerate(BAD.values()):
        (spool / f"bad{i}.jsonl").write_bytes(b"\n".join(map(a_line, (good[2 * i], content, good[2 * i + 1]))))
    (spool / "all.jsonl").write_bytes(b"\n\n".join(map(a_line, (good[-2], *BAD.values(), good[-1]))))
    recorder = recorders(uri)
    assert keep(recorder, "ben") and recorder.note is None and query(uri, "SELECT COUNT(*) FROM campaigns")[0][0] == len(good) + 1
    aside = recorder.queue.spool.aside
    assert len(aside.entries()) >= 2 * len(BAD) and all(e["reason"] for e in aside.entries()) and list(spool.glob("*.jsonl")) == [recorder.queue.spool.path] * bool(recorder.queue.spool.path)
    recorder.close()
    said = record("status", uri=uri, check=True).stdout
    assert "were set aside" in said and "nested too deeply" in said and "nothing waits" not in said
    again = recorders(uri)
    assert keep(again, "ben") and forget(again, "ada") >= len(good) and query(uri, "SELECT COUNT(*) FROM campaigns")[0][0] == 2
    assert not [e for e in again.queue.spool.aside.entries() if '"ada"' in e["line"]], "nor is anything of hers kept aside"


def test_what_is_no_file_is_passed_over(recorders, tmp_path):
    spool = tmp_path / "spool"
    (spool / "folder.jsonl").mkdir(parents=True)
    os.mkfifo(spool / "pipe.jsonl")
    (spool / "nowhere.jsonl").symlink_to(tmp_path / "none")
    (tmp_path / "diary").write_text("mine", encoding="utf-8")
    (spool / "link.jsonl").symlink_to(tmp_path / "diary")
    recorder = recorders(f"sqlite:///{tmp_path}/x.sqlite")
    assert keep(recorder) and forget(recorder, "v1") == 1 and len(list(spool.iterdir())) == 4 and (tmp_path / "diary").read_text(encoding="utf-8") == "mine"


def test_what_is_set_aside_is_bounded(tmp_path):
    aside = Aside(tmp_path / "spool.rejected", max_bytes=100_000)
    for _ in range(10):
        assert aside.add((b"x" * 1_000, "not JSON") for _ in range(1_000))
    assert aside.path.stat().st_size < 110_000 and sum(e["count"] for e in aside.entries()) == 10_000


def test_rows_that_are_refused_find_an_end(server, recorders, record):
    "More of them than the queue holds: what is good behind them is written, and all are there once the table is as it was."
    uri, change = server.empty(), "MODIFY name VARCHAR({})" if server.driver == "mysql" else "ALTER name TYPE VARCHAR({})"
    recorder = recorders(uri, queue=20, wait=0)
    assert recorder.flush(20)
    query(uri, "ALTER TABLE campaigns " + change.format(14))
    for i in range(30):
        keep(recorder, "ada", i / 100, name="longer than fourteen")
        assert recorder.queue.wait(lambda: recorder.queue.rows.keys() == recorder.queue.refused.keys(), 15)
    recorder.wait = 15
    assert keep(recorder, "ben") and recorder.note == REFUSED and len(recorder.queue.rows) == 2 and len(recorder.queue.spool.aside.entries()) == 28
    recorder.close(0)
    said = record("status", uri=uri, check=True).stdout
    assert "2 wait in " in said and "the database refuses them" in said and "28 were set aside" in said
    query(uri, "ALTER TABLE campaigns " + change.format(200))
    assert record("retry", uri=uri, check=True).stdout.startswith("28 rows written") and record("status", uri=uri, check=True).stdout.endswith("nothing waits\n")
    assert query(uri, "SELECT COUNT(*) FROM campaigns")[0][0] == 31


OLD = "CREATE TABLE campaigns (id VARCHAR(32) PRIMARY KEY, visitor VARCHAR(64) NOT NULL, asked_at {time} NOT NULL, name VARCHAR(200), goal FLOAT, probability FLOAT NOT NULL)"


def old_table(uri) -> None:
    "The table as an earlier release might have made it, with a row."
    query(uri, OLD.format(time="TIMESTAMP" if uri.startswith("postgresql") else "DATETIME"))
    query(uri, "INSERT INTO campaigns (id, visitor, asked_at, probability) VALUES ('00000000000000000000000000000000', 'old', '2025-01-01 00:00:00', 0.25)")


def test_a_table_of_an_earlier_release_gets_its_columns(uri, recorders):
    recorders(uri).close()
    query(uri, "SELECT 1")
    query(uri, "DROP TABLE campaigns"), query(uri, "DROP TABLE forgotten")
    old_table(uri)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: recorders(uri), range(4)))
        assert all(pool.map(keep, together))
    assert probabilities(together[0], "old") == [0.25] and len(together[0].requests("v1")) == 4 and together[0].note is None


def test_two_processes_change_an_old_table(uri, recorders, tmp_path):
    recorders(f"sqlite:///{tmp_path}/other.sqlite").close()
    (tmp_path / "db").mkdir()
    old_table(uri)
    running = [start(WRITES, uri, tmp_path / "spool", v, 3) for v in ("ada", "ben")]
    assert [p.communicate(timeout=60)[0] for p in running] == ["3\n", "3\n"]
    assert query(uri, "SELECT COUNT(*) FROM campaigns")[0][0] == 7


def test_an_old_table_that_may_not_be_changed(server, recorders, record):
    "The note is true, the operator is told the statements, and after they were run all is written."
    uri = server.empty()
    old_table(uri)
    name = make_url(uri).database
    if server.driver == "mysql":
        server.execute("CREATE USER IF NOT EXISTS clerk@'%' IDENTIFIED BY 'clerk'")
        server.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO clerk@'%'")
    else:
        from contextlib import closing

        server.execute("DO $$ BEGIN CREATE ROLE clerk LOGIN PASSWORD 'clerk'; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        with closing(server.connect(name)) as c:
            c.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC"), c.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO clerk")
            c.execute("ALTER DEFAULT PRIVILEGES FOR ROLE creator IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO clerk")
    as_clerk = make_url(uri).set(username="clerk", password="clerk").render_as_string(hide_password=False)
    if server.driver != "mysql":
        (server.data / "pg_hba.conf").write_text("local all admin trust\nhost all creator,clerk 127.0.0.1/32 scram-sha-256\n", encoding="utf-8")
        server.execute("SELECT pg_reload_conf()")
        time.sleep(0.3)
    recorder = recorders(as_clerk, wait=5)
    assert not keep(recorder) and recorder.note == REPAIR and len(recorder.requests("v1")) == 1
    done = record("status", uri=as_clerk)
    assert one_line(done, "the database needs its owner", "ALTER TABLE campaigns ADD COLUMN arm VARCHAR(64)", "CREATE TABLE forgotten")
    for statement in done.stderr.split("has to run: ")[1].strip().split("; "):
        query(uri, statement)
    assert recorder.flush(20) and recorder.note is None and probabilities(recorder) == [0.5]


def test_a_further_column_that_must_not_be_empty(uri, recorders, record):
    recorder = recorders(uri, wait=5)
    assert keep(recorder)
    recorder.close()
    if uri.startswith("sqlite"):
        query(uri, "DROP TABLE campaigns"), query(uri, OLD.format(time="DATETIME").replace("name", "tenant VARCHAR(9) NOT NULL, name"))
    else:
        query(uri, "ALTER TABLE campaigns ADD COLUMN tenant VARCHAR(9)"), query(uri, "UPDATE campaigns SET tenant = 'x'")
        query(uri, "ALTER TABLE campaigns " + ("MODIFY tenant VARCHAR(9) NOT NULL" if uri.startswith("mysql") else "ALTER tenant SET NOT NULL"))
    recorder = recorders(uri, wait=5)
    assert not keep(recorder, "ada") and recorder.note == REPAIR
    done = record("status", uri=uri)
    assert one_line(done, "the database needs its owner", "ALTER TABLE campaigns", "tenant")
    query(uri, done.stderr.split("has to run: ")[1].strip())
    assert recorder.flush(20) and recorder.note is None and len(recorder.requests("ada")) == 1


def test_a_table_that_is_another_program_s(uri, recorders, tmp_path):
    (tmp_path / "db").mkdir()
    query(uri, "CREATE TABLE campaigns (id INTEGER, title VARCHAR(99))")
    recorder = recorders(uri, wait=5)
    assert not keep(recorder) and recorder.note == REPAIR and "not of this package" in recorder.writer.reason
    query(uri, "INSERT INTO campaigns (id, title) VALUES (1, 'theirs')")
    assert [tuple(r) for r in query(uri, "SELECT * FROM campaigns")] == [(1, "theirs")], "which is left as it was"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_reads_what_is_recorded(umask, recorders, tmp_path, monkeypatch):
    old = os.umask(umask)
    try:
        recorder = recorders(f"sqlite:///{tmp_path}/new.sqlite")
        assert keep(recorder)
        recorder.queue.spool.add([ROW]), recorder.queue.spool.aside.add([(b"x", "not JSON")])
        files = [p for p in tmp_path.rglob("*") if p.is_file()]
        assert {p.name.split(".")[-1] for p in files} >= {"sqlite", "sqlite-wal", "sqlite-shm", "jsonl", "rejected"}
        assert {mode(p) for p in files} == {0o600} and mode(tmp_path / "spool") == 0o700
    finally:
        os.umask(old)


def test_what_an_earlier_release_left_open_is_closed(recorders, record, tmp_path):
    file, spool = tmp_path / "x.sqlite", tmp_path / "spool"
    first = recorders(f"sqlite:///{file}")
    assert keep(first)
    first.queue.spool.add([ROW])
    for path in (file, tmp_path / "x.sqlite-wal", tmp_path / "x.sqlite-shm", first.queue.spool.path):
        path.chmod(0o644)
    spool.chmod(0o755)
    assert keep(recorders(f"sqlite:///{file}"))
    assert {mode(p) for p in tmp_path.rglob("*") if p.is_file()} == {0o600} and mode(spool) == 0o700
    uri_form = tmp_path / "form.sqlite"
    assert keep(recorders(f"sqlite:///file:{uri_form}?uri=true")) and mode(uri_form) == 0o600


def test_a_folder_that_is_not_ours_keeps_its_rights(recorders, record, tmp_path):
    home = tmp_path / "spool"
    home.mkdir()
    (home / "diary").write_text("mine", encoding="utf-8")
    home.chmod(0o755), (home / "diary").chmod(0o644), tmp_path.chmod(0o755)
    uri = f"sqlite:///{tmp_path}/x.sqlite"
    recorder = recorders(uri)
    assert keep(recorder) and recorder.queue.spool.add([ROW]) and mode(recorder.queue.spool.path) == 0o600
    assert mode(home) == mode(tmp_path) == 0o755 and mode(home / "diary") == 0o644 and (home / "diary").read_text(encoding="utf-8") == "mine"
    assert f"others may read {home}" in record("status", uri=uri, check=True).stdout


def test_forget_reaches_what_others_hold(uri, recorders, record, tmp_path):
    "Another process has a row of the visitor in its queue, a third one left one behind, a fourth was set aside: none of them comes back."
    place = tmp_path / "place"
    place.write_text("in the way", encoding="utf-8")
    away = recorders(f"sqlite:///{place}/x.sqlite", wait=0.2)
    assert not keep(away, "ada", 0.1) and not keep(away, "ben", 0.2)
    gone = recorders(f"sqlite:///{place}/x.sqlite", wait=0.2)
    assert not keep(gone, "ada", 0.3)
    gone.close(0)
    recorder = recorders(uri, enabled=False)
    recorder.queue.spool.aside.add([(to_line(to_row(CAMPAIGN, 0.4, 0, 1, "m", "ada")), "refused"), (b'{"visitor": "ada", "na', "not JSON")])
    assert count_stored(recorder) == (0, 1, 2, 2)
    said = record("status", uri=f"sqlite:///{place}/x.sqlite")
    assert one_line(said, "away")
    said = record("forget", "--visitor", "ada", "--yes", uri=uri, check=True).stdout
    assert said.startswith("3 rows deleted") and "1 more wait with a process that runs, and will not be stored" in said
    assert count_stored(recorder) == (0, 0, 2, 0)
    away.database.uri = uri  # its database is back
    away.database._engine = None
    assert away.flush(20) and query(uri, "SELECT visitor FROM campaigns") == [("ben",)] and count_stored(recorder) == (0, 0, 0, 0)
    assert "nothing waits" in record("status", uri=uri, check=True).stdout


FORGETS = textwrap.dedent("""
    import sys, time
    from kickstarter_predictor.record import Recorder, forget
    recorder = Recorder(sys.argv[1], enabled=False, spool=sys.argv[2])
    for i in range(40):
        forget(recorder, "ada")
""")


def test_forget_while_rows_are_written(uri, recorders, tmp_path):
    "Requests and rows at the same time: once both have ended, no row older than the last request is there."
    recorder = recorders(uri, wait=0)
    assert keep(recorder, "ben") or recorder.flush(20)
    process = start(FORGETS, uri, tmp_path / "spool")
    for i in range(100):
        keep(recorder, "ada", i / 100)
        time.sleep(0.002)
    process.communicate(timeout=60)
    assert process.returncode == 0 and recorder.flush(20)
    last = query(uri, "SELECT MAX(until) FROM forgotten")[0][0]
    assert not query(uri, f"SELECT asked_at FROM campaigns WHERE visitor = 'ada' AND asked_at < '{last}'") and len(recorder.requests("ben")) == 1


def test_what_is_forgotten_is_not_in_the_file(recorders, tmp_path):
    recorder = recorders(f"sqlite:///{tmp_path}/x.sqlite")
    assert all(keep(recorder, "a" * 32, name=f"Secret Lantern {i}") for i in range(50)) and keep(recorder, "ben")
    assert forget(recorder, "a" * 32) == 50
    left = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert b"Secret Lantern" not in left and b"a" * 32 not in left


def test_a_flood_is_bounded(recorders, tmp_path):
    recorder = recorders(f"sqlite:///{tmp_path}/x.sqlite", wait=0)
    begin, kept_of = time.monotonic(), 0
    for i in range(2_000):
        keep(recorder, f"v{i}", 0.5)
    assert recorder.flush(20)
    kept_of = query(recorder.database.uri, "SELECT COUNT(*) FROM campaigns")[0][0]
    assert kept_of <= 120 + 1 + (time.monotonic() - begin) / 6 and recorder.dropped == 2_000 - kept_of and recorder.note == LIMITED
    recorder.bucket.left = 1
    recorder.wait = 15
    assert keep(recorder) and recorder.note is None


def test_a_broken_spool_does_not_stop_the_writer(recorders, tmp_path):
    recorder = recorders(f"sqlite:///{tmp_path}/x.sqlite")
    assert keep(recorder)
    import shutil

    shutil.rmtree(tmp_path / "spool")
    (tmp_path / "spool").write_text("in the way", encoding="utf-8")
    assert keep(recorder) and keep(recorder) and len(recorder.requests("v1")) == 3
