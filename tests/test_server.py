"The server of the page under those who mean it harm, on a machine that is not as it should be, and when it is stopped."
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from support.browser import get, run, seat_of, served, talk, to_widget
from support.project import ROOT

SMALL = "pool=1, visitors=3, alone=3, ping=1, pong=0.5"
ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}")


def starting(limits, before=""):
    start = "from kickstarter_predictor import app; {before}; app.serve(port={port}, limits=app.Limits({limits}))"
    return lambda port: [sys.executable, "-c", start.format(before=before or "0", port=port, limits=limits)]


@pytest.fixture(scope="module")
def small():
    with served(command=starting(SMALL)) as url:
        yield url, served.log, served.process


def until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.1)


def kernels(process) -> list:
    "The server's kernels."
    with suppress(psutil.NoSuchProcess):
        return [p for p in psutil.Process(process.pid).children() if any("ipykernel" in word for word in p.cmdline())]
    return []


def ended(process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def frame(data, opcode=1) -> bytes:
    "A WebSocket frame as a client sends it, masked with zeros."
    data = data.encode() if isinstance(data, str) else data
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return bytes([0x80 | opcode]) + size + bytes(4) + data


def upgraded(url, kernel, **headers):
    "(status, socket) of a WebSocket whose client does nothing by itself: it reads nothing, it answers no ping."
    place = urlsplit(url)
    lines = {"Host": place.netloc, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "13"} | headers
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(10)
    s.connect((place.hostname, place.port))
    s.sendall(f"GET /api/kernels/{kernel}/channels HTTP/1.1\r\n".encode() + "".join(f"{k}: {v}\r\n" for k, v in lines.items()).encode() + b"\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = s.recv(1)
        if not more:
            break
        answer += more
    return int(answer.split()[1]), s


@contextmanager
def socket_of(url, kernel, **headers):
    status, s = upgraded(url, kernel, **headers)
    with s:
        yield status, s


def answers(said) -> list:
    return [s["content"]["data"]["state"]["answer"] for s in said if s["content"]["data"]["state"].get("answer")]


REQUEST = {"seq": 7, "visitor": "0" * 32, "predict": True, "keep": False, "fields": {"name": "A", "goal": "5000", "currency": "USD", "days": "30", "parent": "Games", "country": "US", "launch": "2026-12-01"}}
ASK = to_widget({"method": "update", "state": {"request": REQUEST}, "buffer_paths": []})
STATE = to_widget({"method": "request_state"})


@pytest.mark.parametrize("path", ["", "page/form.js", "health", "nowhere", "api/kernels/" + "0" * 36 + "/channels"])
def test_only_known_names_are_answered(small, path):
    url = small[0]
    for host in ("evil.example", "evil.example:80", "localhost.evil.example", "10.0.0.7", "0.0.0.0", "[::2]", "x" * 5000, "127.0.0.1.nip.io"):
        code, headers, text = get(url + path, Host=host)
        assert code == 421 and "does not answer to that name" in text and "frame-ancestors" in headers["Content-Security-Policy"], host
    if path != "":  # which would take a kernel
        for host in ("localhost", "LOCALHOST:99", "127.0.0.1:1", "[::1]:5", "localhost."):
            assert get(url + path, Host=host)[0] in (200, 404), host


def test_names_can_be_added():
    with served("--pool", "0", "--allowed-host", "example.org", "--allowed-host", "www.example.org") as url:
        codes = {h: get(url + "health", Host=h)[0] for h in ("example.org", "www.example.org:443", "127.0.0.1", "a.example.org", "evil.example")}
        assert list(codes.values()) == [200, 200, 200, 421, 421]
    for wrong in ("https://example.org", "a b", "*"):
        done = subprocess.run([sys.executable, "-m", "kickstarter_predictor.app", "--allowed-host", wrong, "--port", "1"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and "such as example.org" in done.stderr


def test_a_socket_needs_a_known_name_and_the_right_origin(small):
    url = small[0]
    kernel, _ = seat_of(get(url)[2])
    same = urlsplit(url).netloc
    for headers, status in (({"Host": "evil.example"}, 421), ({"Host": "evil.example", "Origin": "http://evil.example"}, 421), ({"Origin": "http://evil.example"}, 403), ({"Origin": f"http://{same}"}, 101)):
        with socket_of(url, kernel, **headers) as (got, _):
            assert got == status, headers
    with socket_of(url, "12345678-1234-1234-1234-123456789012") as (got, _):
        assert got == 404


def test_what_a_header_holds_reaches_neither_kernel_nor_log(small):
    url, log, _ = small
    seat = seat_of(get(url)[2])
    before = len(log.read_text(encoding="utf-8"))

    def forged(**other):
        return lambda model: ASK(model) | other | {"header": ASK(model)["header"] | other.get("header", {})}

    odd = [{"header": {"subshell_id": "x"}}, {"header": {"msg_id": "\x1b[31mred\r\nERROR forged"}}, {"header": {"msg_id": {"a": 1}}}, {"header": {"session": [1]}}, {"header": {"version": "9.9", "date": "never"}}, {"buffers": 5}, {"buffers": ["x"]}, {"buffers": {"a": 1}}, {"parent_header": 7}, {"metadata": [1]}]  # fmt: skip
    said, closed = run(talk(url, seat, *[forged(**o) for o in odd], wait=4))
    assert closed is None and len(answers(said)) >= 1 and answers(said)[-1]["probability"] > 0
    for wrong in ({"header": None}, {"header": 5}, {"content": None}, {"content": {"comm_id": "a\nERROR forged", "data": {"method": "request_state"}}}, {"channel": "shell\n"}):
        message = lambda model: ASK(model) | wrong
        assert run(talk(url, seat, message))[1] == 1008, wrong
    written = log.read_text(encoding="utf-8")[before:]
    assert "forged" not in written and "\x1b" not in written and not ID.search(written) and "Traceback" not in written


def test_as_many_sockets_as_a_page_needs(small):
    url = small[0]
    kernel, _ = seat_of(get(url)[2])
    with ExitStack() as stack:
        statuses = [stack.enter_context(socket_of(url, kernel))[0] for _ in range(4)]
        assert statuses == [101, 101, 429, 429]
    until(lambda: upgraded(url, kernel)[0] == 101, 3)  # closed ones make room


def test_a_client_that_answers_no_ping_is_let_go(small):
    url = small[0]
    seat = seat_of(get(url)[2])
    with socket_of(url, seat[0]) as (status, s):
        begun, got = time.monotonic(), b""
        while b"\x88" not in got:
            more = s.recv(4096)
            assert more
            got += more
        assert status == 101 and 1 <= time.monotonic() - begun < 4  # a ping after 1 s, half a second for the answer
    assert run(talk(url, seat, STATE, wait=4))[1] is None, "one that answers stays"


def test_kernels_are_given_once(small):
    url, _, process = small
    until(lambda: len(kernels(process)) == 1)  # nobody is there, and one kernel waits
    until(lambda: get(url + "health")[0] == 200)
    with ThreadPoolExecutor(20) as pool:
        pages = list(pool.map(get, [url] * 20))
    assert sorted(p[0] for p in pages) == [200] * 3 + [503] * 17
    assert len({seat_of(p[2]) for p in pages if p[0] == 200}) == 3
    until(lambda: len(kernels(process)) == 1)


def test_a_kernel_that_died_is_replaced(small):
    url, log, process = small
    until(lambda: get(url + "health")[0] == 200)
    until(lambda: len(kernels(process)) == 1)
    died = kernels(process)
    for kernel in died:
        kernel.kill()
    until(lambda: not any(kernel.is_running() for kernel in died))
    until(lambda: get(url + "health")[0] == 200)
    code, _, text = get(url)
    assert code == 200
    said, closed = run(talk(url, seat_of(text), ASK))
    assert closed is None and answers(said)
    assert not ID.search(log.read_text(encoding="utf-8")) and "Traceback" not in log.read_text(encoding="utf-8")


def test_a_busy_kernel_goes_with_its_visitor(small):
    url, log, process = small
    until(lambda: len(kernels(process)) == 1 and get(url + "health")[0] == 200)
    kernel, (busy,) = seat_of(get(url)[2])[0], kernels(process)[:1]
    busy.suspend()  # busier than this no kernel can be
    with socket_of(url, kernel) as (_, s):
        s.sendall(frame(json.dumps(ASK("0" * 32))) * 59)
        time.sleep(0.5)
        s.sendall(frame(json.dumps(ASK("0" * 32))) * 5)
        until(lambda: b"does not answer" in s.recv(4096), 3)
    until(lambda: ended(busy), 20)
    assert get(url + "health")[0] == 200 and not ID.search(log.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def poor():
    "Few open files, many sockets for a kernel."
    command = starting("pool=1, visitors=3, sockets=30")
    with served(command=lambda port: ["bash", "-c", 'ulimit -n 1024; exec "$@"', "bash", *command(port)]) as url:
        yield url, served.log, served.process


def test_half_open_connections_keep_nobody_out(poor):
    url, log, process = poor
    place = urlsplit(url)
    with ExitStack() as stack:
        for i in range(1500):
            s = stack.enter_context(socket.socket())
            s.settimeout(5)
            s.connect((place.hostname, place.port))
            if i % 2:
                s.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        begun = time.monotonic()
        assert all(get(url + "page/form.js", timeout=10)[0] == 200 for _ in range(20)) and time.monotonic() - begun < 10
        assert psutil.Process(process.pid).num_fds() < 600
        seat = seat_of(get(url)[2])
        assert answers(run(talk(url, seat, ASK))[0])
    assert log.stat().st_size < 20_000


SECONDS = int(os.environ.get("SLOW_READERS", 10))


def test_who_never_reads_is_let_go(poor):
    "30 sockets of one kernel that ask all the time, answer pings, and read nothing; closed ones come back."
    url, log, process = poor
    kernel, model = seat_of(get(url)[2])
    server, number = psutil.Process(process.pid), itertools.count()
    run(talk(url, (kernel, model), STATE))
    before, most, visits, end = server.memory_info().rss, 0, 0, time.monotonic() + SECONDS

    def visit():
        nonlocal visits
        while time.monotonic() < end:
            with suppress(OSError), socket_of(url, kernel) as (status, s):
                visits += status == 101
                while status == 101 and time.monotonic() < end:
                    request = REQUEST | {"seq": next(number)}
                    update = to_widget({"method": "update", "state": {"request": request}, "buffer_paths": []})
                    s.sendall(frame(json.dumps(STATE(model))) + frame(json.dumps(update(model))) + frame(b"", 10))
                    time.sleep(0.2)
            time.sleep(0.2)

    threads = [threading.Thread(target=visit) for _ in range(30)]
    for t in threads:
        t.start()
    while time.monotonic() < end:
        most = max(most, server.memory_info().rss)
        time.sleep(0.2)
    for t in threads:
        t.join()
    print(f"{SECONDS} s: {before / 2**20:.0f} MB before, {most / 2**20:.0f} MB at most, {visits - 30} times closed")
    assert visits > 30, "nobody was let go"
    assert most - before < 50 * 2**20 and get(url + "health", timeout=5)[0] == 200
    assert len(log.read_text(encoding="utf-8").splitlines()) < 130 and not ID.search(log.read_text(encoding="utf-8"))


def test_a_long_name_for_temporary_files(tmp_path):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    with served("--pool", "1", env={"TMPDIR": str(long)}) as url:
        code, _, text = get(url)
        assert code == 200 and get(url + "health")[2] == "ok"
        assert answers(run(talk(url, seat_of(text), ASK))[0])


def test_health_tells_that_no_kernel_can_be_had(tmp_path):
    shutil.copytree(ROOT / "kickstarter_predictor" / "page", tmp_path / "page")
    notebook = tmp_path / "page" / "app.ipynb"
    notebook.write_text(notebook.read_text(encoding="utf-8").replace("Form(assign=assigner())", "1 / 0"), encoding="utf-8")
    with started(command=starting("pool=1", f"from pathlib import Path; app.PAGE = Path({str(notebook.parent)!r})")) as (url, process, log):
        until(lambda: reached(url) and "No kernel can be started" in get(url + "health")[2])
        assert get(url + "health")[0] == 503 and get(url)[0] == 500 and "cannot be shown" in get(url)[2]
        until(lambda: not kernels(process))
        assert not ID.search(log.read_text(encoding="utf-8")) and "Traceback" not in log.read_text(encoding="utf-8")


def reached(url) -> bool:
    with suppress(OSError):
        return bool(get(url + "health", timeout=5))
    return False


@contextmanager
def started(command):
    "(address, process, log) of a server that need not be healthy, and that the caller may stop."
    from support.servers import free_port

    port = free_port()
    with tempfile.TemporaryDirectory(dir="/tmp") as tmp:
        log = Path(tmp) / "log"
        variables = os.environ | {"PYTHONPATH": "", "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp}/t.sqlite", "TMPDIR": tmp}
        with log.open("w", encoding="utf-8") as out:
            process = subprocess.Popen(command(port), cwd=ROOT, env=variables, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield f"http://127.0.0.1:{port}/", process, log
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("when", ["at once", "while kernels start", "with pages open", "while a page waits"])
def test_stopped_in_silence(when, number):
    command = lambda port: [sys.executable, "-m", "kickstarter_predictor.app", "--port", str(port), "--pool", "0" if when == "while a page waits" else "2"]
    with started(command=command) as (url, process, log), ExitStack() as stack:
        if when == "at once":
            time.sleep(0.5)
        else:
            until(lambda: reached(url))
        if when == "with pages open":
            until(lambda: get(url + "health")[0] == 200)
            for _ in range(2):
                stack.enter_context(socket_of(url, seat_of(get(url)[2])[0]))
        if when == "while a page waits":
            page = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port))
            page.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            stack.enter_context(page)
            time.sleep(1)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        assert process.wait(20) in (0, 130, 143, -number), log.read_text(encoding="utf-8")
        gone, alive = psutil.wait_procs(children, timeout=5)
        assert not alive, "kernels are left"
        written = [line for line in log.read_text(encoding="utf-8").splitlines() if not line.startswith("The form is at")]
        assert written == []
        assert not list(log.parent.glob("kp-*")), "a folder is left"
