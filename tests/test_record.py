"The record of predictions on real databases: SQLite, MariaDB and PostgreSQL, away, back, killed, refused, and in several processes."
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import pytest
from conftest import call
from kickstarter_predictor.record import FULL, NOTE, NOT_STORED, Recorder, forget, to_row
from kickstarter_predictor.stage import InputError
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
    return [t.probability for t in recorder.tries(visitor, 1000)]


def query(uri, statement):
    from kickstarter_predictor.record import connect

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
    for i, fields in enumerate(given):
        assert recorder.record({"name": "x", **fields}, i / len(given), 0.1, 1 / 3, fields.get("name", "m"), f"visitor-{i}"), fields
    for i, fields in enumerate(given):
        [found] = recorder.tries(f"visitor-{i}")
        wanted = to_row({"name": "x", **fields}, i / len(given), 0.1, 1 / 3, fields.get("name", "m"), "")
        assert found.campaign == {k: wanted[k] for k in CAMPAIGN_FIELDS if wanted[k] is not None}
        assert (found.probability, found.low, found.high, found.model, found.link) == tuple(wanted[k] for k in ("probability", "low", "high", "model", "link"))
        assert found.at.tzinfo is timezone.utc and abs((datetime.now(timezone.utc) - found.at).total_seconds()) < 60
    assert query(uri, "SELECT COUNT(*) FROM campaigns")[0][0] == len(given)


CAMPAIGN_FIELDS = ["name", "blurb", "goal", "currency", "country", "category", "parent", "days", "launched_at", "created_at", "video", "staff_pick"]


def test_visitors_see_their_own_tries_only(uri, recorders):
    recorder = recorders(uri)
    odd = ["ada", "Ada", "ada ", "ad%", "ad_", "' OR '1'='1", "x" * 64, "x" * 65, "x" * 5000, "é", "e\u0301", "ada\0"]
    for i, visitor in enumerate(odd):
        assert keep(recorder, visitor, i / 100)
    assert keep(recorder, "", 0.9)
    assert [probabilities(recorder, v) for v in odd] == [[i / 100] for i in range(len(odd))]
    assert recorder.tries("") == recorder.tries("nobody") == []
    for p in range(10):
        keep(recorder, "many", p / 10)
    assert [t.probability for t in recorder.tries("many", 3)] == [0.9, 0.8, 0.7] and recorder.tries("many", 0) == []


def test_forget(uri, recorders):
    recorder = recorders(uri)
    for visitor in ("ada", "ben", "ada"):
        keep(recorder, visitor)
    assert forget(recorder, "ada") == 2 and not recorder.tries("ada") and len(recorder.tries("ben")) == 1
    assert forget(recorder, "ada") == 0 and forget(recorder, before=datetime(2020, 1, 1)) == 0
    assert forget(recorder, before=datetime(9000, 1, 1)) == 1 and not recorder.tries("ben")


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
    assert not keep(recorder, probability=0.3) and recorder.tries("v1") and time.monotonic() - begin < 0.5, "a page waits for a database that is away"
    with pytest.raises(InputError, match="away"):
        forget(recorder, "other")
    server.start()
    assert recorder.flush(20) and recorder.note is None and probabilities(recorder) == [0.3, 0.2, 0.1]
    server.stop(), server.start()
    assert keep(quiet, "other"), "a restart between two tries is not noticed"
    assert len(quiet.tries("other")) == 2 and not list((tmp_path / "spool").iterdir())


def test_wrong_password(server, recorders, caplog):
    right = server.empty()
    wrong = recorders(server.uri(make_url(right).database, "hunter2/secret"))
    with caplog.at_level("WARNING"):
        assert not keep(wrong) and wrong.note == NOTE and wrong.tries("v1")
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
    assert not keep(recorder, probability=0.2, name="longer than fourteen") and recorder.note is None
    recorder.wait = 15
    assert keep(recorder, probability=0.3) and probabilities(recorder) == [0.3, 0.2, 0.1], "the visitor sees the one that waits, too"
    query(uri, "ALTER TABLE campaigns " + ("MODIFY name VARCHAR(200)" if server.driver == "mysql" else "ALTER name TYPE VARCHAR(200)"))
    assert recorder.flush(20) and query(uri, "SELECT COUNT(*) FROM campaigns")[0][0] == 3


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
    assert again.flush(20) and len(again.tries("v1", 100)) == 15 and not list(spool.iterdir())


def test_a_living_process_keeps_its_spool(recorders, tmp_path):
    place = tmp_path / "place"
    place.write_text("in the way", encoding="utf-8")
    away, uri = recorders(f"sqlite:///{place}/x.sqlite", wait=0.2), f"sqlite:///{tmp_path}/y.sqlite"
    assert not keep(away)
    assert recorders(uri).flush(20) and not recorders(uri).tries("v1") and len(list((tmp_path / "spool").glob("*.jsonl"))) == 1
    away.close(0)
    assert recorders(uri).flush(20) and len(recorders(uri).tries("v1")) == 1


def test_a_full_queue_is_said(recorders, tmp_path):
    (tmp_path / "place").write_text("in the way", encoding="utf-8")
    recorder = recorders(f"sqlite:///{tmp_path}/place/x.sqlite", queue=3)
    assert not any(keep(recorder) for _ in range(5)) and recorder.note == FULL and len(recorder.tries("v1")) == 3


FULL_DISK = textwrap.dedent("""
    import resource, sys
    from kickstarter_predictor.record import Recorder
    recorder = Recorder(sys.argv[1], spool=sys.argv[2], wait=10)
    stored = [recorder.record({"name": "n", "blurb": "x" * 1000}, 0.5, 0, 1, "m", "v1") for _ in range(3)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    stored += [recorder.record({"name": "n", "blurb": "x" * 1000}, 0.5, 0, 1, "m", "v1") for _ in range(3)]
    note = bool(recorder.note)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.getrlimit(resource.RLIMIT_FSIZE)[1],) * 2)
    print(stored, note, recorder.flush(20), len(recorder.tries("v1")), recorder.note)
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
        assert len(recorder.tries("v1")) == 1 and time.monotonic() - begin < 5
        assert recorder.note == NOTE and "hunter2" not in recorder.writer.reason
        begin = time.monotonic()
        assert not keep(recorder) and len(recorder.tries("v1")) == 2 and time.monotonic() - begin < 0.5


@pytest.mark.parametrize("uri", ["hunter2", "mysql:hunter2@host", "mysql://u:hunter2@host:port/x", "paradox://u:hunter2@h/x", "mysql+mysqldb://u:hunter2@h/x", "sqlite:////proc/none/x.sqlite", "mysql://u:hunter2@127.0.0.1:1/x", "postgresql://u:hunter2@no.such.host.invalid/x"])
def test_an_address_that_cannot_be_used(recorders, uri):
    recorder = recorders(uri, wait=0.5)
    assert not keep(recorder) and recorder.flush(0.5) is False
    assert len(recorder.tries("v1")) == 1 and recorder.note == NOTE and recorder.writer.reason and "hunter2" not in recorder.writer.reason


def test_switched_off(tmp_path, monkeypatch):
    monkeypatch.setenv("KICKSTARTER_RECORD", "off")
    uri = f"sqlite:///{tmp_path}/db/x.sqlite"
    for recorder in (Recorder(uri), Recorder(uri, enabled=False)):
        assert not keep(recorder) and recorder.tries("v1") == [] and recorder.note is None and recorder.stored_text == NOT_STORED and recorder.flush(1)
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


def test_status_and_forget_at_the_command_line(uri, recorders, tmp_path):
    def record(*args, uri=uri, check=False):
        env = {"SQLALCHEMY_DATABASE_URI": uri, "KICKSTARTER_SPOOL": str(tmp_path / "spool")}
        return call(sys.executable, "-m", "kickstarter_predictor.record", *args, cwd=tmp_path, env=env, check=check)

    recorder = recorders(uri)
    assert keep(recorder, "ada") and keep(recorder, "ben")
    assert "the database is there" in record("status", check=True).stdout
    assert record("forget", "--visitor", "ada", check=True).stdout == "1 tries deleted\n" and not recorder.tries("ada") and recorder.tries("ben")
    if "@" in uri:
        password = uri.split("@")[0].split(":")[-1]
        done = record("status", uri=uri.replace(password, "hunter2"))
        assert done.returncode == 1 and done.stderr.startswith("record: the database is away") and len(done.stderr.splitlines()) == 1
        assert "hunter2" not in done.stderr + done.stdout
    else:
        done = record("forget", "--before", "soon")
        assert done.returncode == 1 and done.stderr == "record: --before = 'soon': must be a date such as 2026-12-01\n"


def test_import_is_light():
    program = "import sys, kickstarter_predictor.record; print(sorted({'sqlalchemy', 'numpy', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, encoding="utf-8").stdout == "[]\n"


def test_nothing_of_a_campaign_is_readable_by_others(recorders, tmp_path):
    (tmp_path / "place").write_text("in the way", encoding="utf-8")
    keep(recorders(f"sqlite:///{tmp_path}/place/x.sqlite", wait=0.1))
    [file] = (tmp_path / "spool").glob("*.jsonl")
    assert file.stat().st_mode & 0o077 == 0 and json.loads(file.read_text(encoding="utf-8"))["name"] == CAMPAIGN["name"]
