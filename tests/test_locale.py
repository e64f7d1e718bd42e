"The same text in every locale: what commands print and stages write does not depend on it."
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.project import ROOT

NEITHER = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
PREDICT = ("kickstarter-predict", "--model", "packaged", "--goal", "12000", "--currency", "EUR", "--country", "DE", "--days", "30", "--launch", "2024-03-05", "--category", "Tabletop Games")


@pytest.fixture(scope="module")
def locales(tmp_path_factory):
    "Environments of several locales; ISO-8859-1 is made where localedef and the sources of a locale are."
    folder = tmp_path_factory.mktemp("locales")
    made = {"C": NEITHER | {"LC_ALL": "C"}, "POSIX": NEITHER | {"LC_ALL": "POSIX"}, "ascii": NEITHER | {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"}}
    codes = "\n".join(f"<U{i:04X}> /x{i:02x} CHARACTER" for i in range(256))
    (folder / "charmap").write_text(f"<code_set_name> ISO-8859-1\n<escape_char> /\nCHARMAP\n{codes}\nEND CHARMAP\n", encoding="utf-8")
    try:
        subprocess.run(["localedef", "-i", "de_DE", "-f", folder / "charmap", folder / "de_DE.ISO-8859-1"], check=True, capture_output=True)
        made["ISO-8859-1"] = NEITHER | {"LC_ALL": "de_DE.ISO-8859-1", "LOCPATH": str(folder)}
    except (OSError, subprocess.CalledProcessError):
        pass
    return made


@pytest.fixture(params=["C", "POSIX", "ascii", "ISO-8859-1"])
def locale(request, locales):
    return locales.get(request.param) or pytest.skip("no localedef, or no sources of locales: Debian's package locales has them")


def run(*command, env, cwd=ROOT, stdin=None):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(command, cwd=cwd, env={**os.environ, "PATH": path, "PYTHONPATH": "", **env}, input=stdin, capture_output=True)


def test_a_prediction_is_the_same(locale, tmp_path):
    "Its text has a € and what the locale cannot show is escaped; its JSON is JSON; what is asked is UTF-8, in options and on standard input."
    fields = json.dumps({"name": "Café für Bücher 📚", "blurb": "Ein Spiel für 3 €"}, ensure_ascii=False).encode()
    done = run(*PREDICT, "--json", "-", env=locale, stdin=fields)
    assert done.returncode == 0 and done.stdout.startswith(b"Probability of success: ") and done.stderr == b""
    as_json = lambda env, *args, stdin=None: json.loads(run(*PREDICT, "--format", "json", *args, env=env, stdin=stdin).stdout)
    utf8 = {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": ""}
    assert as_json(locale, "--json", "-", stdin=fields) == as_json(utf8, "--json", "-", stdin=fields)


@pytest.mark.parametrize("name", ["C", "POSIX"])
def test_options_in_utf8_are_read_where_the_locale_knows_no_more_than_ascii(locales, name):
    answers = [json.loads(run(*PREDICT, "--format", "json", "--name", "Café für Bücher", "--category", "Cafés", env=env).stdout) for env in (locales[name], {"LC_ALL": "C.UTF-8"})]
    assert answers[0] == answers[1] and "Cafés" in answers[1]["notes"][0]


def test_a_batch_and_its_messages_survive(locale, tmp_path):
    record = {"id": 1, "data": {"id": 1, "name": "Bücher für 3 € 📚", "goal": 1000, "currency": "EUR", "country": "DE", "state": "failed", "created_at": 1548000000,
                                "launched_at": 1548979200, "deadline": 1551571200, "category": {"name": "Cafés", "slug": "food/cafés"}}}  # fmt: skip
    name = "Büch€r\x1b[31m".encode() + b"\xff.json"
    with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
        file.write(json.dumps(record, ensure_ascii=False).encode())
    done = run(b"kickstarter-predict", b"--batch", name, b"--out", "Büch€r.csv".encode(), env=locale, cwd=tmp_path)
    assert done.returncode == 0 and b"1 projects scored" in done.stderr and "Büch€r.csv".encode() in os.listdir(os.fsencode(tmp_path))
    done = run(b"kickstarter-predict", b"--batch", name + b"x", b"--out", b"-", env=locale, cwd=tmp_path)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and rb"\x1b[31m" in done.stderr and b"\x1b" not in done.stderr


COMMANDS = ["app", "benchmark", "mirror", "monitor", "outcomes", "packaging", "predict", "record", "refresh", "scratch"]


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_prints_everything_and_is_quiet_when_its_reader_leaves(module):
    "Each `main` with an `ArgumentParser.parse_args` that prints more than a pipe holds, and its reader gone after a line."
    code = f"""
import argparse, sys
argparse.ArgumentParser.parse_args = lambda *_: [print("\\u20ac", i) for i in range(100_000)]
from kickstarter_predictor import {module} as module
if "{module}" == "benchmark":
    module.TASKS["x"] = argparse.ArgumentParser.parse_args
sys.exit(module.main(["x"]))
"""
    env = {**os.environ, **NEITHER, "LC_ALL": "C", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"\\u20ac 0\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_stage_writes_the_same_bytes(copy, locales):
    "A report has an en dash and a €, whatever the locale of who runs it."
    cheap = ("sample", copy / "reports" / "10_sample.md", copy / "reports" / "10_sample.html")
    pages = {}
    for name, env in {"UTF-8": {"LC_ALL": "C.UTF-8"}, **{k: v for k, v in locales.items() if k in ("C", "ISO-8859-1")}}.items():
        for path in cheap[1:]: path.unlink()
        done = run("python", "-m", "kickstarter_predictor.stage", cheap[0], env=env, cwd=copy)
        assert done.returncode == 0, done.stderr[-2000:]
        pages[name] = [path.read_bytes() for path in cheap[1:]]
    assert all(p == pages["UTF-8"] for p in pages.values()) and any(not p.isascii() for p in pages["UTF-8"])


def test_stages_are_pinned_to_utf8(locale):
    "So text is UTF-8 in what they start, too."
    code = "from kickstarter_predictor.core import PINNED; import os, subprocess, sys; print(subprocess.run([sys.executable, '-c', 'import sys; print(sys.flags.utf8_mode)'], env=dict(os.environ) | PINNED, capture_output=True).stdout)"
    assert b"1" in run(sys.executable, "-c", code, env=locale | {"PYTHONPATH": str(ROOT)}).stdout
