"What a command writes where a person says: into files, links and pipes; nothing that is there is lost."
import gzip
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.project import ROOT, call

from kickstarter_predictor import predict, scratch
from kickstarter_predictor.core import InputError, atomic, atomic_folder

LINES = [json.dumps({"id": i, "data": {"id": i, "name": f"Game {i}", "goal": 1000 * i, "currency": "USD", "country": "US", "state": "failed", "created_at": 1548000000,
                     "launched_at": 1548979200, "deadline": 1551571200, "category": {"name": "Tabletop Games", "slug": "games/tabletop games"}}}) for i in range(1, 4)]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "s.json.gz").write_bytes(gzip.compress("\n".join(LINES).encode()))
    return tmp_path


def score(folder, out, check=True, **options):
    return call("kickstarter-predict", "--model", "packaged", "--batch", "s.json.gz", "--out", out, cwd=folder, check=check, **options)


def files(folder): return {p.relative_to(folder).as_posix(): p.read_text(encoding="utf-8") for p in folder.rglob("*") if p.is_file() and p.suffix != ".gz"}


def test_a_batch_writes_through_links_and_keeps_permissions(folder):
    (folder / "there.csv").write_text("old", encoding="utf-8")
    (folder / "there.csv").chmod(0o604)
    (folder / "link").symlink_to("there.csv")
    (folder / "dangling").symlink_to("new/absent.csv")
    score(folder, "link")
    old = os.umask(0o027)
    score(folder, "dangling")
    os.umask(old)
    assert (folder / "link").is_symlink() and (folder / "dangling").is_symlink()
    modes = [stat.S_IMODE((folder / name).stat().st_mode) for name in ("there.csv", "new/absent.csv")]
    assert modes == [0o604, 0o640]
    assert all(len(text.splitlines()) == 4 and text.startswith("id,probability\n") for text in files(folder).values())


def test_a_batch_writes_into_pipes_and_to_standard_output(folder):
    os.mkfifo(folder / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((folder / "pipe").read_text(encoding="utf-8")))
    reader.start()
    score(folder, "pipe")
    reader.join(10)
    assert stat.S_ISFIFO((folder / "pipe").stat().st_mode)
    (folder / "out").symlink_to("/dev/stdout")
    for name in ("-", "out"):
        done = score(folder, name)
        assert done.stdout == read[0] and "3 projects scored" in done.stderr
    score(folder, "/dev/null")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode) and not (folder / "-").exists()


def test_standard_output_that_is_a_file_is_added_to(folder):
    command = [sys.executable, "-c", "from kickstarter_predictor.predict import main; main()", "--model", "packaged", "--batch", "s.json.gz", "--out"]
    with open(folder / "log", "a", encoding="utf-8") as log:
        for name in ("-", "/dev/stdout"):
            subprocess.run([*command, name], cwd=folder, stdout=log, check=True, capture_output=False, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert len((folder / "log").read_text(encoding="utf-8").splitlines()) == 8


@pytest.mark.parametrize("out, why", [
    ("results", "results: is a folder; name a file"), (".", "is a folder"), ("..", "is a folder"), ("results/", "is a folder"), ("absent/", "is a folder"), ("to_results", "is a folder"),
    ("", "empty name"), ("file.csv/x", "a file stands where a folder"), ("file.csv/x/y", "a file stands where a folder"), ("new/" + "x" * 300, "file name too long"), ("x/" * 2100 + "y", "file name too long"),
    ("circle", "symbolic links"), ("/dev/full", "the disk is full"), ("/proc/x.csv", "cannot be written"), ("socket", "cannot be written"), ("a\x1b[31m\nb/", r"a\x1b[31m\nb/: is a folder"),
])  # fmt: skip
def test_a_place_that_cannot_be_written_is_one_line(folder, out, why, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    (folder / "results").mkdir()
    (folder / "results" / "kept").write_text("kept", encoding="utf-8")
    (folder / "file.csv").write_text("kept", encoding="utf-8")
    (folder / "to_results").symlink_to("results")
    (folder / "circle").symlink_to("circle")
    socket.socket(socket.AF_UNIX).bind(os.path.relpath(folder / "socket"))
    before = sorted(folder.rglob("*"))
    code, (printed, error) = predict.main(["--model", "packaged", "--batch", "s.json.gz", "--out", out]), capfd.readouterr()
    assert code == 1 and why in error and len(error.splitlines()) == 1 and printed == ""
    assert sorted(folder.rglob("*")) == before and files(folder) == {"results/kept": "kept", "file.csv": "kept"}


@pytest.mark.parametrize("args, why", [
    (["--batch", "absent.json", "--out", "."], ".: is a folder"), (["--batch", "absent.json", "--out", "new/folder/x.csv"], "absent.json"),
    (["--name", "A", "--out", "x.csv"], "--out: goes with --batch"),
])  # fmt: skip
def test_a_place_is_known_to_be_wrong_before_the_work(folder, args, why, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    assert predict.main(args) == 1 and why in capfd.readouterr().err and os.listdir() == ["s.json.gz"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_what_may_not_be_written_is_left_alone(tmp_path):
    (tmp_path / "a").write_text("kept", encoding="utf-8")
    (tmp_path / "a").chmod(0o444)
    (tmp_path / "shut").mkdir(mode=0o555)
    for path in (tmp_path / "a", tmp_path / "shut" / "b"):
        with pytest.raises(InputError, match="permission denied"), atomic(path):
            pass
    assert (tmp_path / "a").read_text(encoding="utf-8") == "kept"


def test_a_full_disk_leaves_what_was_there(tmp_path):
    "No file of this process may grow beyond some bytes, as on a disk that is full."
    code = f"""
import resource
from kickstarter_predictor.core import atomic, command
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
@command("tool")
def main():
    with atomic({str(tmp_path / "a")!r}) as part:
        part.write_text("x" * 20_000, encoding="utf-8")
raise SystemExit(main())
"""
    (tmp_path / "a").write_text("kept", encoding="utf-8")
    done = call(sys.executable, "-c", code, cwd=ROOT, check=False)
    assert done.returncode == 1 and done.stderr.endswith("the disk is full, that of the output or that of TMPDIR; make room\n") and len(done.stderr.splitlines()) == 1
    assert files(tmp_path) == {"a": "kept"} and len(list(tmp_path.iterdir())) == 1


def test_a_signal_leaves_no_temporary_file(folder):
    code = f"""
import os, signal
from kickstarter_predictor.core import atomic, command
@command("tool")
def main():
    with atomic({str(folder / "new" / "a")!r}) as part:
        part.touch()
        os.kill(os.getpid(), signal.SIGTERM)
raise SystemExit(main())
"""
    done = call(sys.executable, "-c", code, cwd=ROOT, check=False)
    assert done.returncode == 143 and [p.name for p in folder.iterdir()] == ["s.json.gz"]


def test_a_folder_is_replaced_if_all_in_it_is_ours(tmp_path):
    (tmp_path / "link").symlink_to("figures")
    for name in ("a.png", "b.png"):
        with atomic_folder(tmp_path / "link", ours=["*.png"]) as part:
            (part / name).touch()
    assert (tmp_path / "link").is_symlink() and [p.name for p in (tmp_path / "figures").iterdir()] == ["b.png"]
    for foreign in ("notes.txt", "deep/er/notes.png.bak", ".hidden"):
        path = tmp_path / "figures" / foreign
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to("nowhere")
        with pytest.raises(InputError, match="not made here"), atomic_folder(tmp_path / "figures", ours=["*.png"]):
            pass
        assert path.is_symlink() and (tmp_path / "figures" / "b.png").exists()
        path.unlink()
    with pytest.raises(KeyError), atomic_folder(tmp_path / "figures", ours=["*.png"]) as part:
        raise KeyError
    assert sorted(p.name for p in tmp_path.iterdir()) == ["figures", "link"]


@pytest.mark.parametrize("name", ["reports/mine.md", "artifacts/deep/mine.csv"])
def test_a_run_that_would_lose_a_file_does_not_begin(folder, name):
    path = folder / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine", encoding="utf-8")
    done = call("python", "-m", "kickstarter_predictor.scratch", "run", "--data", str(folder / "s.json.gz"), "--out", str(folder / "out"), cwd=ROOT, check=False)
    assert done.returncode == 1 and f"{name}: not made here" in done.stderr and len(done.stderr.splitlines()) == 1
    assert files(folder) == {f"out/{name}": "mine"} and [p.name for p in (folder / "out").iterdir()] == [name.split("/")[0]]


def test_a_reproduced_lock_has_a_place_before_anything_is_reproduced(folder, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    for lock, why in ((folder, "is a folder"), ("", "empty name"), (folder / "s.json.gz" / "x", "a file stands")):
        assert scratch.main(["verify", "--lock", str(lock)]) == 1
        error = capfd.readouterr().err
        assert why in error and len(error.splitlines()) == 1


def test_a_copy_without_git_runs(folder):
    "`make run` where the project was unpacked from an archive: a clone is made of its files. (What follows is as anywhere: the data are asked for first.)"
    copied = folder / "copied"
    (copied / "nbs").mkdir(parents=True)
    for name in ("params.yaml", ".gitignore"):
        (copied / name).write_text("", encoding="utf-8")
    run = lambda *args: call("python", "-m", "kickstarter_predictor.scratch", *args, cwd=copied, check=False, env={"PYTHONPATH": str(ROOT)})
    done = run("run", "--data", "absent.json", "--out", str(folder / "out"))
    assert done.returncode == 1 and done.stderr == "scratch: absent.json: there is no such file or folder\n"
    (copied / "dvc.lock").write_text("stages: {}", encoding="utf-8")
    done = run("verify")
    assert done.returncode == 1 and "copied: is no git repository" in done.stderr and len(done.stderr.splitlines()) == 1
