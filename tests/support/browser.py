"The served page, Chromium and axe-core for the tests of the form, and the hostile input they type."
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from .servers import free_port

HERE = Path(__file__).parents[1]
AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
SHOTS = HERE / "screenshots"
FLAGS = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync".split()
WIDTHS = {"wide": {"width": 1280, "height": 800}, "narrow": {"width": 390, "height": 844}}


def need(there, what: str):
    "`there`; without it skip, or fail where services are required."
    if not there:
        (pytest.fail if os.environ.get("REQUIRE_SERVICES") else pytest.skip)(f"{what} is missing; .ci/run installs it")
    return there


@contextmanager
def served(*options: str, env: dict | None = None, command: list[str] | None = None):
    "The address of a server of the page in a process group of its own, its requests in a folder that is thrown away."
    port = free_port()
    with tempfile.TemporaryDirectory() as tmp:
        variables = {**os.environ, "PYTHONPATH": "", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp}/requests.sqlite", **(env or {})}
        start = command(port) if command else [sys.executable, "-m", "kickstarter_predictor.app", "--port", str(port), *options]
        log = Path(tmp) / "log"
        with log.open("w", encoding="utf-8") as out:
            process = subprocess.Popen(start, cwd=HERE.parent, env=variables, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            for _ in range(600):
                if process.poll() is not None:
                    raise AssertionError(log.read_text(encoding="utf-8")[-2000:])
                try:
                    with closing(urlopen(f"http://127.0.0.1:{port}/health", timeout=5)):
                        break
                except OSError:
                    time.sleep(0.1)
            served.log, served.process = log, process
            yield f"http://127.0.0.1:{port}/"
        finally:
            try:
                os.killpg(process.pid, signal.SIGINT)
                process.wait(20)
            except ProcessLookupError:
                pass  # a test has stopped it
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def get(url, method="GET", timeout=60, **headers):
    try:
        with urlopen(Request(url, method=method, headers=headers), timeout=timeout) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except HTTPError as e:
        return e.code, dict(e.headers), e.read().decode()


def seat_of(html: str) -> tuple[str, str]:
    "(kernel, model) of a page."
    return re.search('data-kernel="([^"]+)" data-model="([^"]+)"', html).groups()


def run(work):
    "The result of the coroutine `work`, in a thread: Playwright has a loop in this one."
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def talk(site, seat, *messages, origin=None, wait=1.5):
    "(what comes back on sending `messages` over a new socket, the code it was closed with or None)."
    from tornado.httpclient import HTTPRequest
    from tornado.websocket import websocket_connect

    kernel, model = seat
    url = f"{site.replace('http', 'ws')}api/kernels/{kernel}/channels?session_id=test"
    socket = await websocket_connect(HTTPRequest(url, headers={"Origin": origin} if origin else {}, connect_timeout=20))
    said = []
    for m in messages:
        try:
            await socket.write_message(m if isinstance(m, (bytes, str)) else json.dumps(m(model) if callable(m) else m), binary=isinstance(m, bytes))
        except Exception:
            break
    until = time.monotonic() + wait
    while time.monotonic() < until:
        try:
            got = await asyncio.wait_for(socket.read_message(), until - time.monotonic())
        except TimeoutError:
            break
        if got is None:
            return said, socket.close_code or 1006  # the connection was cut before a code came
        said.append(json.loads(got))
    socket.close()
    return said, None


def jupyter(kind, content, channel="shell"):
    header = {"msg_id": kind, "msg_type": kind, "username": "", "session": "test", "version": "5.3", "date": "2026-01-01T00:00:00Z"}
    return {"channel": channel, "header": header, "parent_header": {}, "metadata": {}, "content": content, "buffers": []}


def to_widget(data):
    return lambda model: jupyter("comm_msg", {"comm_id": model, "data": data})


LONG = "x" * 10_000_000
TEXTS = [
    "<script>window.hit=1</script>", "<img src=x onerror=window.hit=1>", "\"><svg onload=window.hit=1>", "javascript:window.hit=1", "{{7*7}}${7*7}#{7*7}", "<!--", "]]>", "&lt;b&gt;&amp;",
    "'; DROP TABLE campaigns; --", "' OR '1'='1", "\\'; SELECT pg_sleep(9) --", "1; ATTACH DATABASE 'x' AS y", "%s%s%n%x", "$(touch /hit) `id`", "__import__('os').system('id')", "../../../../etc/passwd", "\r\nSet-Cookie: a=b",
    LONG, "🎲" * 60, "👩‍👩‍👧‍👦" * 20, "مرحبا بالعالم", "שלום \u202eolleh\u202c", "Z͑ͫ̓ͪ̂ͫ̽a̴l̷g̵o̶", "\u0000", "\u200b\u200b", "\ufeff", "\ud83d", "NULL", "undefined", "١٢٣", "日本語の名前", "ﷺ" * 30, " " * 500, "a\tb\nc", "constructor", "__proto__",
]
AMOUNTS = [
    "NaN", "nan", "Infinity", "-Infinity", "inf", "-5", "-0", "0", "0.0000001", "1e", "1E400", "9" * 400, "0x10", "1,2,3", "12.000", "12.000,500", "1_00", "٣٠٠٠", "１２０００", "½", "ten", "--5", "+", ".", "1/0", "<b>5</b>", "1000000001", LONG, "999999999999999999999", "5 5 5", "$",
]
DATES = ["", "0000-00-00", "0001-01-01", "9999-12-31", "1969-12-31", "2024-02-30", "275760-09-13", "2026-13-01", "tomorrow", "' OR 1=1", "-2026-01-01", "20261201", "2009-04-27"]
LENGTHS = ["0", "61", "-1", "1.5", "NaN", "1e1", "999999999999", "thirty", "", "٣", "30 days", "<i>"]
ODD = [None, True, 5, 1e308, [], {}, [[[]]], {"a": {"b": []}}, "x", ["<script>"], -1, 0.1]  # what no browser of ours sends
