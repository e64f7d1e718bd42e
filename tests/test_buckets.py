"kickstarter-snapshots on real servers that fail: a clear line, no half file under a final name, nothing lost, and the next run succeeds."
import ctypes
import gzip
import hashlib
import io
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import pytest
from support.project import call, free_ports
from support.s3 import KEYS, rclone_command, started
from support.flaky import OddS3, Site, page, proxied, until
from kickstarter_predictor.files import snapshot_files
from kickstarter_predictor.mirror import main
from kickstarter_predictor.core import InputError

MB = 1 << 20
PACKED = gzip.compress(random.Random(0).randbytes(2 * MB), 1)
CRAWLS = [f"forfun/Kickstarter/Kickstarter_{day}T03_20_00_000Z.json.gz" for day in ("2024-05-09", "2024-07-11", "2024-06-13")]


@pytest.fixture
def site():  # each test one of its own: they set its ways
    site = Site()
    site.files["a.json.gz"] = PACKED
    yield site
    site.stop()


@pytest.fixture
def run(capsys):
    "The command in this process: (exit code, what it printed, its line on stderr)."
    def run(*args, retries=3):
        try: code = main([str(a) for a in args] + (["--retries", str(retries), "--pause", "0.02"] if args else []))
        except SystemExit as e: code = e.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err and not any(v in out + err for v in (KEYS["AWS_SECRET_ACCESS_KEY"], "hidden"))
        assert (out + err).replace("\n", "").isprintable() and "b'" not in err
        if code == 1: assert len(err.strip().splitlines()) == 1 and err.startswith("kickstarter-snapshots: ")
        return code, out, err
    return run


def names(folder): return sorted(p.name for p in folder.iterdir())


def uploads(s3, bucket):
    try: return s3.client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    except s3.client.exceptions.ClientError as e:  # rclone's answer if there are none
        assert e.response["Error"]["Code"] == "NoSuchUpload"
        return []


def body(s3, bucket, key): return s3.client.get_object(Bucket=bucket, Key=key)["Body"].read()


def killed(command, ready, env=None):
    "Start `command`, kill -9 it and its children as soon as `ready()`."
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": "", **(env or {})}, start_new_session=True)
    try: until(lambda: ready() or process.poll() is not None)
    finally: os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it had ended before it was killed"


COMMAND = [str(Path(sys.executable).with_name("kickstarter-snapshots"))]


# list and latest

def test_list_and_latest(s3, bucket, run, tmp_path):
    for key in [*CRAWLS, "forfun/Kickstarter/readme.txt", "other/b.json.gz"]: s3.client.put_object(Bucket=bucket, Key=key, Body=PACKED[:1000] if "other" in key else PACKED)
    code, out, _ = run("list", "--bucket", bucket, "--prefix", "forfun/", "--endpoint-url", s3.url)
    rows = [line.split() for line in out.splitlines()]
    assert code == 0 and [r[0] for r in rows] == ["2024-07-11", "2024-06-13", "2024-05-09"] and rows[0][1:] == [f"{len(PACKED):,}", CRAWLS[1]]
    assert run("get", "latest", tmp_path, "--bucket", bucket, "--prefix", "forfun/", "--endpoint-url", s3.url)[0] == 0
    assert names(tmp_path) == [CRAWLS[1].rpartition("/")[2]] and (tmp_path / names(tmp_path)[0]).read_bytes() == PACKED
    assert "is there already" in run("get", CRAWLS[1], tmp_path, "--bucket", bucket, "--endpoint-url", s3.url)[1]
    assert run("get", "latest", tmp_path, "--bucket", bucket, "--prefix", "none/", "--endpoint-url", s3.url)[2].endswith("holds no snapshot\n")


@pytest.mark.parametrize("key, value, said", [("AWS_SECRET_ACCESS_KEY", "hidden", "the secret key is wrong"), ("AWS_ACCESS_KEY_ID", "nobody", "the access key is not known"),
                                              ("AWS_ACCESS_KEY_ID", None, "credentials")])
def test_wrong_keys(s3, bucket, run, tmp_path, monkeypatch, key, value, said):
    s3.client.put_object(Bucket=bucket, Key="a.json.gz", Body=PACKED)
    (tmp_path / "mine.json.gz").write_bytes(PACKED)
    with monkeypatch.context() as patch:
        patch.setenv(key, value) if value else patch.delenv(key)
        commands = [("list", "--bucket", bucket), ("get", f"s3://{bucket}/a.json.gz", tmp_path / "a.json.gz"), ("mirror", tmp_path / "mine.json.gz", f"s3://{bucket}/a")]
        for command in commands:
            code, _, err = run(*command, "--endpoint-url", s3.url)
            assert code == 1 and said in err, err
    assert names(tmp_path) == ["mine.json.gz"] and not uploads(s3, bucket)
    assert all(run(*command, "--endpoint-url", s3.url)[0] == 0 for command in commands)


def test_unsigned_is_refused_by_a_private_bucket(s3, bucket, run, tmp_path):
    code, _, err = run("list", "--bucket", bucket, "--endpoint-url", s3.url, "--no-sign-request")
    assert code == 1 and (s3.name == "rclone" or "access denied" in err)


def test_missing_bucket_and_key(s3, bucket, run, tmp_path):
    (tmp_path / "mine.json.gz").write_bytes(PACKED)
    for command, said in {("list", "--bucket", "absent-bucket"): "no such bucket", ("get", "s3://absent-bucket/a", tmp_path / "a"): "no such bucket",
                          ("get", "a.json.gz", tmp_path / "a", "--bucket", bucket): "no such object", ("mirror", tmp_path / "mine.json.gz", "s3://absent-bucket/a"): "no such bucket",
                          ("mirror", tmp_path / "absent", f"s3://{bucket}/a"): "no such file", ("mirror", "s3://absent-bucket/a", f"s3://{bucket}/a", "--source-endpoint-url", s3.url): "no such bucket",
                          ("mirror", f"s3://{bucket}/none", f"s3://{bucket}/a", "--source-endpoint-url", s3.url): "nothing under it"}.items():
        code, _, err = run(*command, "--endpoint-url", s3.url)
        assert code == 1 and said in err, err
    assert names(tmp_path) == ["mine.json.gz"]
    assert "absent-bucket" not in [b["Name"] for b in s3.client.list_buckets()["Buckets"]]


@pytest.mark.parametrize("args, said", [((), "required"), (("get",), "required"), (("get", "a", "b", "--sha256", "xyz"), "64 hexadecimal digits"), (("list", "--retries", "-1"), "--retries"), (("fetch",), "invalid choice")])
def test_usage(args, said, capsys):
    with pytest.raises(SystemExit) as e: main(list(args))
    assert e.value.code == 2 and said in capsys.readouterr().err


# get over http

def test_cut_connections_resume(site, run, tmp_path):
    site.faults = [{"cut": 700_000}, {"cut": 900_000}]
    assert run("get", site.url("a.json.gz"), tmp_path / "a.json.gz")[0] == 0
    assert (tmp_path / "a.json.gz").read_bytes() == PACKED and names(tmp_path) == ["a.json.gz"]
    starts = [int(r[6:-1]) for _, r in site.asked[1:]]
    assert len(starts) == 2 and 400_000 < starts[0] < starts[1] <= 1_600_000


def test_a_failed_get_goes_on_in_the_next_run(site, run, tmp_path):
    site.faults = [{"cut": 1_000_000}, {"status": 500}, {"status": 500}]
    (tmp_path / "a.json.gz").write_bytes(b"what was there")
    code, _, err = run("get", site.url("a.json.gz?X-Amz-Signature=hidden"), tmp_path / "a.json.gz", retries=1)
    assert code == 1 and "the server says 500" in err and "gave up after 1 retries" in err
    assert (tmp_path / "a.json.gz").read_bytes() == b"what was there" and names(tmp_path) == ["a.json.gz", "a.json.gz.part", "a.json.gz.part.json"]
    assert "hidden" not in (tmp_path / "a.json.gz.part.json").read_text(encoding="utf-8")
    site.faults, site.asked = [], []
    assert run("get", site.url("a.json.gz?X-Amz-Signature=hidden"), tmp_path / "a.json.gz")[0] == 0
    assert int(site.asked[0][1][6:-1]) > 700_000 and (tmp_path / "a.json.gz").read_bytes() == PACKED and names(tmp_path) == ["a.json.gz"]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_busy_servers_are_asked_again(site, run, tmp_path, status):
    site.faults = [{"status": status, "retry_after": 0}] * 3
    assert run("get", site.url("a.json.gz"), tmp_path)[0] == 0 and len(site.asked) == 4
    site.faults = [{"status": status}] * 10
    code, _, err = run("get", site.url("a.json.gz"), tmp_path / "b.json.gz")
    assert code == 1 and str(status) in err and len(site.asked) == 8 and names(tmp_path) == ["a.json.gz"]


def test_server_gone_and_back(site, run, tmp_path):
    site.faults = [{"cut": 1_000_000}]
    port = site.port
    site.stop()
    code, _, err = run("get", site.url("a.json.gz"), tmp_path / "a.json.gz", retries=1)
    assert code == 1 and "the connection failed" in err and names(tmp_path) == []
    site.start()
    assert site.port == port and run("get", site.url("a.json.gz"), tmp_path / "a.json.gz")[0] == 0 and (tmp_path / "a.json.gz").read_bytes() == PACKED


def test_not_there_and_no_address(site, run, tmp_path):
    for place, said in ((site.url("none.json.gz"), "404"), ("http://", "none"), ("ftp://host/a.gz", "expected http"), (tmp_path / "absent.gz", "no such file")):
        code, _, err = run("get", place, tmp_path / "a.json.gz")
        assert code == 1 and (said in err or said == "none"), err
    assert names(tmp_path) == []


@pytest.mark.parametrize("ranges", [True, False])
def test_changed_between_ranges_starts_anew(site, run, tmp_path, ranges):
    new = gzip.compress(random.Random(1).randbytes(2 * MB), 1)
    site.ranges, site.faults = ranges, [{"cut": 1_000_000}, {"data": new}, {"data": new}]
    site.files["a.json.gz"], first = new, {"cut": 1_000_000, "data": PACKED}
    site.faults = [first]
    assert run("get", site.url("a.json.gz"), tmp_path / "a.json.gz")[0] == 0
    assert (tmp_path / "a.json.gz").read_bytes() == new and names(tmp_path) == ["a.json.gz"]


def test_an_object_that_never_rests_is_given_up(site, run, tmp_path):
    site.faults = [{"cut": 500_000, "etag": str(n)} for n in range(40)]
    code, _, err = run("get", site.url("a.json.gz"), tmp_path / "a.json.gz")
    assert code == 1 and "changes all the time" in err and names(tmp_path) == []


def test_a_server_without_ranges_sends_it_again(site, run, tmp_path):
    site.ranges, site.faults = False, [{"cut": 1_500_000}]
    assert run("get", site.url("a.json.gz"), tmp_path / "a.json.gz")[0] == 0 and (tmp_path / "a.json.gz").read_bytes() == PACKED
    site.faults, site.asked = [{"cut": 1_500_000}] * 50, []
    code, _, err = run("get", site.url("a.json.gz"), tmp_path / "b.json.gz")
    assert code == 1 and "gave up" in err and len(site.asked) == 4 and "b.json.gz" not in names(tmp_path)


def test_without_lengths_or_versions(site, run, tmp_path):
    site.lengths = site.etags = False
    site.faults = [{"cut": 1_000_000}]  # nobody can tell that this is not all, but gzip
    code, _, err = run("get", site.url("a.json.gz"), tmp_path / "a.json.gz")
    assert code == 1 and "does not unpack" in err and names(tmp_path) == []
    assert run("get", site.url("a.json.gz"), tmp_path / "a.json.gz")[0] == 0 and (tmp_path / "a.json.gz").read_bytes() == PACKED


CORRUPT = PACKED[:MB] + b"\0\1\2\3" + PACKED[MB + 4 :]


@pytest.mark.parametrize("name, data, said", [("a.json.gz", PACKED[:-500], "does not unpack"), ("a.json.gz", CORRUPT, "does not unpack"), ("a.json.gz", b"<html>404", "is no gzip file but a page"),
                                              ("a.zip", b"PK\3\4 half", "no whole zip"), ("a.json.gz", b"", "is no gzip file")])
def test_truncated_and_corrupt_objects(site, run, tmp_path, name, data, said):
    "Whole as the server sees it, but not what it should be."
    site.files[name] = data
    (tmp_path / name).write_bytes(b"what was there")
    code, _, err = run("get", site.url(name), tmp_path / name)
    assert code == 1 and said in err and names(tmp_path) == [name] and (tmp_path / name).read_bytes() == b"what was there"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as z: z.writestr("Kickstarter.csv", "id\n1\n")
    site.files[name] = PACKED if name.endswith("gz") else packed.getvalue()
    assert run("get", site.url(name), tmp_path / name)[0] == 0 and (tmp_path / name).read_bytes() == site.files[name]


def test_a_damaged_member_of_a_zip(site, run, tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as z: z.writestr("Kickstarter.csv", "id\n" * 1000)
    site.files["a.zip"] = packed.getvalue().replace(b"id\nid\nid\n", b"id\nid\nix\n", 1)
    code, _, err = run("get", site.url("a.zip"), tmp_path / "a.zip")
    assert code == 1 and "Kickstarter.csv is damaged" in err and names(tmp_path) == []


def test_the_md5_of_s3_over_http_and_a_sha256(site, run, tmp_path):
    site.s3, site.files["a.bin"], site.faults = True, PACKED, [{"etag": "0" * 32}]
    code, _, err = run("get", site.url("a.bin"), tmp_path / "a.bin")
    assert code == 1 and "md5" in err and names(tmp_path) == []
    code, _, err = run("get", site.url("a.bin"), tmp_path / "a.bin", "--sha256", "0" * 64)
    assert code == 1 and "sha256" in err and names(tmp_path) == []
    sha = hashlib.sha256(PACKED).hexdigest()
    assert run("get", site.url("a.bin"), tmp_path / "a.bin", "--sha256", sha.upper())[0] == 0
    assert "is there already" in run("get", site.url("a.bin"), tmp_path / "a.bin")[1]


def test_a_beginning_that_rotted_is_fetched_anew(site, run, tmp_path):
    site.faults = [{"cut": MB + 200_000}, {"status": 404}]
    assert run("get", site.url("a.json.gz"), tmp_path / "a.json.gz", retries=0)[0] == 1
    part = tmp_path / "a.json.gz.part"
    part.write_bytes(b"\0" * part.stat().st_size)
    site.faults = []
    assert run("get", site.url("a.json.gz"), tmp_path / "a.json.gz")[0] == 0 and (tmp_path / "a.json.gz").read_bytes() == PACKED


def test_same_content_is_left(site, run, tmp_path):
    (tmp_path / "a.json.gz").write_bytes(PACKED)
    before = (tmp_path / "a.json.gz").stat().st_mtime_ns
    site.s3 = True
    assert "is there already" in run("get", site.url("a.json.gz"), tmp_path)[1] and (tmp_path / "a.json.gz").stat().st_mtime_ns == before
    (tmp_path / "a.json.gz").write_bytes(CORRUPT)
    assert "fetched" in run("get", site.url("a.json.gz"), tmp_path)[1] and (tmp_path / "a.json.gz").read_bytes() == PACKED


def test_two_at_once(site, run, tmp_path):
    site.rate = 1_000_000
    other = subprocess.Popen([*COMMAND, "get", site.url("a.json.gz"), str(tmp_path / "a.json.gz")], stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": ""})
    until((tmp_path / "a.json.gz.part.json").exists)
    code, _, err = run("get", site.url("a.json.gz"), tmp_path / "a.json.gz")
    assert code == 1 and "another process" in err
    site.rate = 0
    assert other.wait(20) == 0 and (tmp_path / "a.json.gz").read_bytes() == PACKED and names(tmp_path) == ["a.json.gz"]


def test_kill_9_of_get(site, run, tmp_path):
    site.rate, part = 2_000_000, tmp_path / "a.json.gz.part"
    killed([*COMMAND, "get", site.url("a.json.gz"), str(tmp_path / "a.json.gz")], lambda: part.exists() and part.stat().st_size > 300_000)
    assert names(tmp_path) == ["a.json.gz.part", "a.json.gz.part.json"]
    site.rate, site.asked = 0, []
    assert run("get", site.url("a.json.gz"), tmp_path / "a.json.gz")[0] == 0
    assert int(site.asked[0][1][6:-1]) >= 300_000 and (tmp_path / "a.json.gz").read_bytes() == PACKED and names(tmp_path) == ["a.json.gz"]


@pytest.fixture
def small_disk(tmp_path):
    "A disk of 1 MB."
    disk, libc = tmp_path / "disk", ctypes.CDLL(None, use_errno=True)
    disk.mkdir()
    if libc.mount(b"tmpfs", str(disk).encode(), b"tmpfs", 0, b"size=1m"):
        pytest.skip(f"no tmpfs may be mounted here ({os.strerror(ctypes.get_errno())})")  # a right, not a service
    yield disk
    libc.umount2(str(disk).encode(), 2)
    libc.umount2(str(disk).encode(), 2)


def grow(disk):
    assert ctypes.CDLL(None).mount(b"tmpfs", str(disk).encode(), b"tmpfs", 32, b"size=8m") == 0  # MS_REMOUNT


@pytest.mark.parametrize("lengths", [True, False], ids=["told before", "not told before"])
def test_full_disk(site, run, small_disk, lengths):
    "Without lengths nobody can know beforehand: the disk is full in the middle."
    (small_disk / "mine.txt").write_text("keep", encoding="utf-8")
    (small_disk / "a.json.gz").write_bytes(b"what was there")
    site.lengths = lengths
    code, _, err = run("get", site.url("a.json.gz"), small_disk / "a.json.gz")
    assert code == 1 and ("are free on this disk" if lengths else "no space left") in err
    assert (small_disk / "mine.txt").read_text(encoding="utf-8") == "keep" and (small_disk / "a.json.gz").read_bytes() == b"what was there"
    grow(small_disk)
    assert run("get", site.url("a.json.gz"), small_disk / "a.json.gz")[0] == 0 and (small_disk / "a.json.gz").read_bytes() == PACKED
    assert names(small_disk) == ["a.json.gz", "mine.txt"]


# get from S3

def test_s3_cut_and_resumed(s3, bucket, run, tmp_path):
    s3.client.put_object(Bucket=bucket, Key="a.json.gz", Body=PACKED)
    with proxied(s3.port, cut=MB, cuts=1) as proxy:
        assert run("get", f"s3://{bucket}/a.json.gz", tmp_path, "--endpoint-url", f"http://127.0.0.1:{proxy.port}")[0] == 0 and proxy.cuts == 0
    assert (tmp_path / "a.json.gz").read_bytes() == PACKED and names(tmp_path) == ["a.json.gz"]


def test_s3_changed_between_ranges(s3, bucket, run, tmp_path):
    s3.client.put_object(Bucket=bucket, Key="a.json.gz", Body=PACKED)
    with proxied(s3.port, cut=MB, cuts=1) as proxy:
        assert run("get", f"s3://{bucket}/a.json.gz", tmp_path, "--endpoint-url", f"http://127.0.0.1:{proxy.port}", retries=0)[0] == 1
    assert names(tmp_path) == ["a.json.gz.part", "a.json.gz.part.json"]
    new = gzip.compress(random.Random(1).randbytes(2 * MB), 1)
    s3.client.put_object(Bucket=bucket, Key="a.json.gz", Body=new)
    assert run("get", f"s3://{bucket}/a.json.gz", tmp_path, "--endpoint-url", s3.url)[0] == 0
    assert (tmp_path / "a.json.gz").read_bytes() == new and names(tmp_path) == ["a.json.gz"]


def test_s3_gone_and_back(run, tmp_path, keys):
    (port,), folder = free_ports(1), tmp_path / "s3"
    (folder / "bucket").mkdir(parents=True)
    (folder / "bucket" / "a.json.gz").write_bytes(PACKED)
    server, s3 = started("rclone", port, rclone_command(port, folder), tmp_path)
    server.kill()
    server.wait()
    code, _, err = run("get", "s3://bucket/a.json.gz", tmp_path / "got.json.gz", "--endpoint-url", s3.url, retries=1)
    assert code == 1 and "the connection failed" in err and "gave up" in err and not list(tmp_path.glob("got*"))
    server, s3 = started("rclone", port, rclone_command(port, folder), tmp_path)
    try: assert run("get", "s3://bucket/a.json.gz", tmp_path / "got.json.gz", "--endpoint-url", s3.url)[0] == 0 and (tmp_path / "got.json.gz").read_bytes() == PACKED
    finally: server.kill()


# mirror

BIG = random.Random(2).randbytes(18 * MB)
OTHER = gzip.compress(random.Random(3).randbytes(2 * MB), 1)


def test_mirror_in_parts_and_again(s3, bucket, run, tmp_path):
    (tmp_path / "in" / "old").mkdir(parents=True)
    (tmp_path / "in" / "big.json").write_bytes(BIG)
    (tmp_path / "in" / "old" / "a.json.gz").write_bytes(PACKED)
    (tmp_path / "in" / "empty.json").write_bytes(b"")
    command = ("mirror", tmp_path / "in", f"s3://{bucket}/mine/", "--endpoint-url", s3.url)
    assert [line.rpartition(": ")[2] for line in run(*command)[1].splitlines()] == ["copied"] * 3
    assert body(s3, bucket, "mine/big.json") == BIG and body(s3, bucket, "mine/old/a.json.gz") == PACKED and body(s3, bucket, "mine/empty.json") == b""
    assert [line.rpartition(": ")[2] for line in run(*command)[1].splitlines()] == ["unchanged"] * 3
    os.utime(tmp_path / "in" / "big.json", (1, 1))  # another time, the same content
    assert "copied" not in run(*command)[1]
    (tmp_path / "in" / "big.json").write_bytes(BIG[::-1])
    assert run(*command)[1].count("copied") == 1 and body(s3, bucket, "mine/big.json") == BIG[::-1]
    s3.client.put_object(Bucket=bucket, Key="mine/old/a.json.gz", Body=CORRUPT)
    assert run(*command)[1].count("copied") == 1 and body(s3, bucket, "mine/old/a.json.gz") == PACKED and not uploads(s3, bucket)
    assert run("get", f"s3://{bucket}/mine/big.json", tmp_path / "back.json", "--endpoint-url", s3.url)[0] == 0 and (tmp_path / "back.json").read_bytes() == BIG[::-1]


def test_mirror_from_http_and_from_a_prefix(site, s3, bucket, run):
    site.faults = [{"cut": MB}, {"status": 503}]
    command = ("mirror", site.url("a.json.gz"), f"s3://{bucket}/raw", "--endpoint-url", s3.url)
    assert "copied" in run(*command)[1] and body(s3, bucket, "raw/a.json.gz") == PACKED
    assert "unchanged" in run(*command)[1]
    site.files["a.json.gz"] = OTHER
    assert "copied" in run(*command)[1] and body(s3, bucket, "raw/a.json.gz") == OTHER
    again = ("mirror", f"s3://{bucket}/raw", f"s3://{bucket}/copy", "--endpoint-url", s3.url, "--source-endpoint-url", s3.url)
    assert "copied" in run(*again)[1] and body(s3, bucket, "copy/a.json.gz") == OTHER and "unchanged" in run(*again)[1]


def test_mirror_of_an_object_that_changes_on_the_way(site, s3, bucket, run):
    new = BIG[::-1]
    site.files["big.json"], site.faults = new, [{"cut": 12 * MB, "data": BIG}]
    assert run("mirror", site.url("big.json"), f"s3://{bucket}", "--endpoint-url", s3.url)[0] == 0
    assert body(s3, bucket, "big.json") == new and not uploads(s3, bucket)


def test_a_mirror_that_fails_leaves_nothing_open(site, s3, bucket, run):
    s3.client.put_object(Bucket=bucket, Key="big.json", Body=b"what was there")
    site.files["big.json"], site.faults = BIG, [{"cut": 12 * MB}] + [{"status": 500}] * 9
    code, _, err = run("mirror", site.url("big.json"), f"s3://{bucket}", "--endpoint-url", s3.url)
    assert code == 1 and "500" in err and not uploads(s3, bucket) and body(s3, bucket, "big.json") == b"what was there"
    site.faults = []
    assert "copied" in run("mirror", site.url("big.json"), f"s3://{bucket}", "--endpoint-url", s3.url)[1] and body(s3, bucket, "big.json") == BIG


def test_mirror_refuses_what_its_source_did_not_promise(site, s3, bucket, run):
    site.s3, site.faults = True, [{"data": CORRUPT, "etag": hashlib.md5(PACKED).hexdigest()}]
    code, _, err = run("mirror", site.url("a.json.gz"), f"s3://{bucket}", "--endpoint-url", s3.url)
    assert code == 1 and "nothing was put" in err and not s3.client.list_objects_v2(Bucket=bucket).get("Contents")
    assert run("mirror", site.url("a.json.gz"), f"s3://{bucket}", "--endpoint-url", s3.url)[0] == 0


def test_cut_while_sending(s3, bucket, run, tmp_path):
    (tmp_path / "big.json").write_bytes(BIG)
    with proxied(s3.port, cut=3 * MB, cuts=2) as proxy:
        assert run("mirror", tmp_path / "big.json", f"s3://{bucket}", "--endpoint-url", f"http://127.0.0.1:{proxy.port}")[0] == 0 and proxy.cuts == 0
    assert body(s3, bucket, "big.json") == BIG and not uploads(s3, bucket)


def test_kill_9_of_mirror(s3, bucket, run, tmp_path):
    s3.client.put_object(Bucket=bucket, Key="big.json", Body=b"what was there")
    (tmp_path / "big.json").write_bytes(BIG)
    with proxied(s3.port, rate=12 * MB) as proxy:
        killed([*COMMAND, "mirror", str(tmp_path / "big.json"), f"s3://{bucket}", "--endpoint-url", f"http://127.0.0.1:{proxy.port}"], lambda: proxy.seen > 9 * MB)
    assert len(uploads(s3, bucket)) == 1 and body(s3, bucket, "big.json") == b"what was there"
    assert run("mirror", tmp_path / "big.json", f"s3://{bucket}", "--endpoint-url", s3.url)[0] == 0
    assert not uploads(s3, bucket) and body(s3, bucket, "big.json") == BIG


def test_the_console_script_logs_but_no_secret(site, rclone, tmp_path):
    url = site.url("a.json.gz?X-Amz-Signature=hidden").replace("//", "//me:hidden@")
    said = call("kickstarter-snapshots", "get", url, str(tmp_path / "a.json.gz"), cwd=tmp_path, env={"KICKSTARTER_LOG": "debug"})
    assert "begins" in said.stderr and f"{len(PACKED):,} bytes" in said.stderr and "hidden" not in said.stderr + said.stdout and "INFO kickstarter_predictor.transfer" in said.stderr
    quiet = call("kickstarter-snapshots", "get", url, str(tmp_path / "b.json.gz"), cwd=tmp_path)
    assert quiet.stderr == "" and "fetched and verified" in quiet.stdout


def test_predicting_does_not_pay_for_it():
    loaded = call("python", "-c", "import sys, kickstarter_predictor.predict; print([m for m in ('boto3', 'botocore', 'urllib3') if m in sys.modules])", cwd=".")
    assert loaded.stdout.strip() == "[]"
    loaded = call("python", "-c", "import sys, kickstarter_predictor.acquire; print([m for m in ('boto3', 'botocore') if m in sys.modules])", cwd=".")
    assert loaded.stdout.strip() == "[]", "nor does reading files"


# odd servers: what is not needed is passed over, for the rest there is one line

@pytest.fixture
def odd_s3(keys):
    odd = OddS3()
    yield odd
    odd.stop()


def limits(megabytes=300):
    "The environment of a process that may take so much memory beyond what it has at its start."
    return f"import resource, runpy, sys; import boto3, kickstarter_predictor.mirror as a; used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize(); resource.setrlimit(resource.RLIMIT_AS, (used + {megabytes << 20},) * 2); sys.exit(a.main(sys.argv[1:]))"


LENGTHS = ["abc", "-5", "\u00b2", "1e9", "9" * 5000, "", "0x10"]


@pytest.mark.parametrize("odd", [{"Content-Length": v} for v in LENGTHS] + [{"Last-Modified": v} for v in ("yesterday", "Mon, 99 Foo 2024 25:61:61 GMT", "Fri, 31 Dec 99999999 00:00:00 GMT", "\x1b[2J")]
                         + [{"ETag": v} for v in ("", '"', "W/", '"a"b"', "\x1b[31m", '"' + "e" * 5000 + '"', "\u00e9")] + [{"Content-Range": v} for v in ("bytes 0-1/" + "9" * 5000, "nonsense")], ids=lambda o: str(o)[:40].encode("unicode_escape").decode())
def test_headers_that_are_not_needed(site, run, tmp_path, odd):
    site.odd = odd
    assert run("get", site.url("a.json.gz"), tmp_path, retries=1)[0] == 0 and (tmp_path / "a.json.gz").read_bytes() == PACKED and names(tmp_path) == ["a.json.gz"]


def test_a_length_that_is_said_twice(site, run, tmp_path):
    site.odd = {"Content-Length": f"{len(PACKED)}, {len(PACKED)}"}
    assert run("get", site.url("a.json.gz"), tmp_path)[0] == 0 and (tmp_path / "a.json.gz").read_bytes() == PACKED
    site.odd = {"Content-Length": "63, 64"}
    assert run("get", site.url("a.json.gz"), tmp_path / "b.json.gz", retries=1)[0] == 1 and names(tmp_path) == ["a.json.gz"]


@pytest.mark.parametrize("odd", [{"Content-Range": "bytes 5-9/" + "9" * 5000}, {"Content-Range": "nonsense"}, {"Content-Range": "bytes 9999999-99999999/9"}, {"Content-Range": None}], ids=lambda o: str(o)[:40])
def test_parts_that_are_odd_are_fetched_anew(site, run, tmp_path, odd):
    site.faults = [{"cut": MB}]
    assert run("get", site.url("a.json.gz"), tmp_path / "a.json.gz", retries=0)[0] == 1 and len(names(tmp_path)) == 2
    site.odd = odd
    assert run("get", site.url("a.json.gz"), tmp_path / "a.json.gz", retries=1)[0] == 0 and (tmp_path / "a.json.gz").read_bytes() == PACKED


@pytest.mark.parametrize("asks", ["\u00b2", "-1", "1e9", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", "9" * 5000, ""])
def test_odd_pauses(site, run, tmp_path, asks):
    site.faults = [{"status": 503, "retry_after": asks.encode("latin-1").decode("latin-1")}]
    assert run("get", site.url("a.json.gz"), tmp_path)[0] == 0 and len(site.asked) == 2


@pytest.mark.parametrize("to", ["http://[::1", "http://", "ftp://host/a", "file:///etc/passwd", "http://" + "a" * 300 + ".b/", "http://h:99999/", "//", "http://\x1b[2J/", "http://127.0.0.1:1/%00"])
def test_redirects_to_nowhere(site, run, tmp_path, to):
    site.faults, site.odd = [{"status": 302}] * 9, {"Location": to}
    code, _, err = run("get", site.url("a.json.gz"), tmp_path / "a", retries=1)
    assert code == 1 and names(tmp_path) == [], err


@pytest.mark.parametrize("url", ["http://[::1", "http://h:port/a.gz", "http://127.0.0.1:1/a\nb\r\n.gz", "http:///a.gz", "http://127.0.0.1:1/%00", "https://\u202e/a", "http://" + "a" * 300 + "/b", "file:///%00", "s3://b\x1b/a", "s3:///a", "file://[::1/a"])
def test_odd_addresses(run, tmp_path, url):
    assert run("get", url, tmp_path, retries=0)[0] == 1 and run("get", url, tmp_path / "a", retries=0)[0] == 1
    assert run("mirror", url, "s3://bucket/a", "--endpoint-url", "http://127.0.0.1:1", retries=0)[0] == 1 and names(tmp_path) == []


def test_reason_phrases_and_names_are_printable(site, run, tmp_path):
    site.reason, site.faults = "go \x1b[2J\x9b away " * 50, [{"status": 403}, {"status": 503}]
    code, _, err = run("get", site.url("a.json.gz"), tmp_path, retries=0)
    assert code == 1 and r"\x1b[2J" in err and len(err) < 1000
    site.reason = None
    assert run("get", site.url("a.json.gz"), tmp_path / "\x1b[2J\u202e.gz")[0] == 0  # the user's own name, but not as it is on the terminal


@pytest.mark.parametrize("name", [".", "..", "", "%2E%2e", "x/..%2f", "a%00b.gz", "a%0a.gz", "%1b[2J", "%E2%80%AE", "nul.gz", "CON", "COM1"])
def test_names_that_are_none(site, run, tmp_path, name):
    site.files |= {name: PACKED}
    code, _, err = run("get", site.url(name), str(tmp_path / " t") + "/", retries=0)
    assert code == 1 and "no name for a file" in err and names(tmp_path) == []
    assert run("get", site.url(name), tmp_path / "mine.gz", retries=0)[0] in (0, 1) and set(names(tmp_path)) <= {"mine.gz"}


def test_a_drip_ends(site, run, tmp_path):
    "One byte a second, from the beginning or after a while: as good as a cut connection, however often it gets a little further."
    site.rate, begun = 20, time.monotonic()
    code, _, err = run("get", site.url("a.json.gz"), tmp_path / "a.json.gz", "--timeout", "0.5", retries=2)
    assert code == 1 and "less than 1,000 bytes a second; gave up after 2 retries" in err and time.monotonic() - begun < 10
    site.rate = 0
    assert run("get", site.url("a.json.gz"), tmp_path / "a.json.gz")[0] == 0 and (tmp_path / "a.json.gz").read_bytes() == PACKED


def test_a_byte_a_connection_ends(site, run, tmp_path):
    site.faults, begun = [{"cut": 1}] * 10_000, time.monotonic()
    code, _, err = run("get", site.url("a.json.gz"), tmp_path / "a.json.gz", "--timeout", "0.5", retries=2)
    assert code == 1 and "less than 1,000" in err and time.monotonic() - begun < 20


def test_headers_that_drip_end(run, tmp_path):
    server, begun = socket.create_server(("127.0.0.1", 0)), time.monotonic()

    def trickle(client):
        try: [(client.send(b"H" if n else b"HTTP/1.1 200 OK\r\nX: "), time.sleep(0.1)) for n in range(600)]
        except OSError: pass

    def drip():
        while True:
            try: client, _ = server.accept()
            except OSError: return
            threading.Thread(target=lambda: trickle(client), daemon=True).start()

    threading.Thread(target=drip, daemon=True).start()
    url = f"http://127.0.0.1:{server.getsockname()[1]}"
    for command in (("get", f"{url}/a.gz"), ("get", "s3://b/a.gz", "--endpoint-url", url)):
        code, _, err = run(*command[:2], tmp_path / "a.gz", *command[2:], "--timeout", "0.3", retries=0)
        assert code == 1 and "whole answer" in err, err
    assert names(tmp_path) == [] and time.monotonic() - begun < 20
    server.close()


@pytest.mark.parametrize("lengths", [True, False])
def test_an_object_is_bounded(site, rclone, bucket_of_rclone, run, tmp_path, lengths):
    site.lengths, s3, bucket = lengths, rclone, bucket_of_rclone
    for command in (("get", site.url("a.json.gz"), tmp_path / "a.json.gz"), ("mirror", site.url("a.json.gz"), f"s3://{bucket}", "--endpoint-url", s3.url)):
        code, _, err = run(*command, "--max-bytes", MB)
        assert code == 1 and "more than 1,048,576 bytes; --max-bytes" in err, err
    assert not s3.client.list_objects_v2(Bucket=bucket).get("Contents") and not uploads(s3, bucket)
    assert run("get", site.url("a.json.gz"), tmp_path / "a.json.gz", "--max-bytes", 3 * MB)[0] == 0 and names(tmp_path) == ["a.json.gz"]


@pytest.mark.parametrize("name, data", [("a.json.gz", PACKED[:-500]), ("a.json.gz", CORRUPT), ("a.json.gz", b""), ("a.zip", b"PK\3\4 half"), ("big.json.gz", gzip.compress(random.Random(5).randbytes(9 * MB), 0)[:-9])])
def test_mirror_refuses_what_get_refuses(site, rclone, bucket_of_rclone, run, tmp_path, name, data):
    site.files[name], s3, bucket = data, rclone, bucket_of_rclone
    s3.client.put_object(Bucket=bucket, Key=name, Body=b"what was there")
    assert run("get", site.url(name), tmp_path)[0] == 1 and names(tmp_path) == []
    code, _, err = run("mirror", site.url(name), f"s3://{bucket}", "--endpoint-url", s3.url)
    assert code == 1 and "nothing was put" in err and body(s3, bucket, name) == b"what was there" and not uploads(s3, bucket)


def test_damaged_objects_do_not_stop_a_mirror(rclone, bucket_of_rclone, run, tmp_path):
    for n, data in {"a.json.gz": PACKED[:-9], "b.json.gz": PACKED, "c.json.gz": b"x", "d.json": b"{}"}.items(): (tmp_path / n).write_bytes(data)
    code, out, err = run("mirror", tmp_path, f"s3://{bucket_of_rclone}/m", "--endpoint-url", rclone.url)
    assert code == 1 and "a.json.gz" in err and "1 more object" in err and [line.split(":")[1].rpartition("/")[2] for line in out.splitlines()] == ["b.json.gz", "d.json"]


# odd S3s

ENTRY = "<Key>a.json.gz</Key><Size>5</Size><LastModified>2024-01-02T00:00:00Z</LastModified><ETag>&quot;x&quot;</ETag>"


@pytest.mark.parametrize("entry, shown", [("<Key>a.json</Key>", "?                       ?  a.json"), ("<Key>a.json</Key><Size>5</Size>", "?                       5  a.json"), (ENTRY, "2024-01-02              5  a.json.gz"),
                                          ("<Key>Kickstarter_2024-05-09.json</Key>", "2024-05-09              ?"), ("<Key>a&#155;[2J%.json</Key>", r"a\x9b[2J%.json"), ("<Key>\u202ea.json</Key>", r"\u202ea.json"),
                                          ("<Key>a.json</Key><LastModified>0001-01-01T00:00:00Z</LastModified>", "a.json"), ("<Key>a.json</Key><Size>-5</Size><New><Deep/></New>", "-5  a.json")])
def test_entries_that_lack_something(odd_s3, run, entry, shown):
    odd_s3.page = lambda token: page(entry)
    code, out, _ = run("list", "--bucket", "b", "--endpoint-url", odd_s3.url)
    assert code == 0 and shown in out, out


@pytest.mark.parametrize("answer, said", [(page("<Size>5</Size>", ENTRY), "no key"), (page("<Key><a/></Key>"), "no key"), (page("<Key/>"), "no key"), (page(""), "no key"), (page(), ""), (b"", ""), (b"<html>", "500"), (b"\x1b[2J", "500"),
                                          (page("<Key>a.json</Key><Size>many</Size>"), "cannot be read"), (page("<Key>a.json</Key><LastModified>yesterday</LastModified>"), "cannot be read"),
                                          (page(ENTRY, more="<IsTruncated>true</IsTruncated>"), "does not say where"), (page(ENTRY, more="<IsTruncated>true</IsTruncated><NextContinuationToken/>"), "does not say where"),
                                          (page(ENTRY, more="<IsTruncated>true</IsTruncated><NextContinuationToken>same</NextContinuationToken>"), "does not say where")], ids=range(13))
def test_odd_pages(odd_s3, run, tmp_path, answer, said):
    odd_s3.page = lambda token: answer
    for command in (("list", "--bucket", "b"), ("get", "latest", tmp_path, "--bucket", "b"), ("mirror", "s3://b/", "s3://c/", "--source-endpoint-url", odd_s3.url)):
        code, out, err = run(*command, "--endpoint-url", odd_s3.url, retries=0)
        assert said in err and (code == 1 or not said), err
    assert odd_s3.asked < 12


def test_a_token_that_comes_round(odd_s3, run):
    odd_s3.page = lambda token: page(ENTRY, more=f"<IsTruncated>true</IsTruncated><NextContinuationToken>{'b' if token == 'a' else 'a'}</NextContinuationToken>")
    code, _, err = run("list", "--bucket", "b", "--endpoint-url", odd_s3.url)
    assert code == 1 and "does not say where" in err and odd_s3.asked == 3


def endless(token, size=1_000):
    n = int(token or 0)
    return page(*(f"<Key>{'k' * 200}{n}-{i}.json.gz</Key><Size>5</Size>" for i in range(size)), more=f"<IsTruncated>true</IsTruncated><NextContinuationToken>{n + 1}</NextContinuationToken>")


def forever(token):
    yield page()[:-20]
    while True: yield b"<Contents>" + b"x" * 60_000 + b"</Contents>"


@pytest.mark.parametrize("pages, said", [(endless, "more than 20,000 objects"), (lambda token: endless(token, 0), "more than 20,000 objects"), (forever, "more than 16 MB")])
def test_lists_without_end(odd_s3, tmp_path, pages, said):
    odd_s3.page = pages
    done = subprocess.run([sys.executable, "-c", limits(), "list", "--bucket", "b", "--endpoint-url", odd_s3.url, "--max-objects", "20000", "--retries", "0"], cwd=tmp_path, capture_output=True, text=True, timeout=60, encoding="utf-8")
    assert done.returncode == 1 and said in done.stderr and len(done.stderr.splitlines()) == 1 and done.stdout == "" and odd_s3.asked <= 202, done.stderr


@pytest.mark.parametrize("head", [{"Content-Length": "abc"}, {"Last-Modified": "yesterday"}, {"ETag": None}, {"ETag": "\x1b[2J"}, {"x-amz-mp-parts-count": "many"}, {"Expires": "never"},
                                  {"Content-Length": None}, {"x-amz-missing-meta": "\u00b2"}, {"ETag": f'"{"0" * 32}-{"9" * 4000}"'}, {"ETag": f'"{"0" * 32}-2"', "x-part": "0"}], ids=lambda h: str(h)[:40].encode("unicode_escape").decode())
def test_odd_headers_of_s3(odd_s3, run, tmp_path, head):
    odd_s3.content, odd_s3.head = PACKED, head
    code, _, err = run("get", "s3://b/a.json.gz", tmp_path, "--endpoint-url", odd_s3.url)
    assert code == 0 and (tmp_path / "a.json.gz").read_bytes() == PACKED and names(tmp_path) == ["a.json.gz"], err


def test_parts_of_one_byte(odd_s3, tmp_path):
    "Not 2,000,000 md5s: S3 takes no more than 10,000 parts."
    odd_s3.content = PACKED * 8
    odd_s3.head = {"ETag": f'"{"0" * 32}-{len(odd_s3.content)}"', "x-part": "1"}
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", limits(), "get", "s3://b/a.json.gz", str(tmp_path), "--endpoint-url", odd_s3.url], cwd=tmp_path, capture_output=True, text=True, timeout=60, encoding="utf-8")
    assert done.returncode == 0 and time.monotonic() - begun < 20, done.stderr


KEPT = ["a?b#c.json.gz", "a%20b+c d.json.gz", "\u00fc\u4e2d/\u00e9 \u20ac.json.gz", "/leading.json.gz", "x//y.json.gz", "a&b=c;d.json.gz", "%2e%2e", "~.json.gz"]


def test_keys_keep_their_names(seaweed, run, tmp_path):
    seaweed.client.create_bucket(Bucket="names")
    for key in KEPT: seaweed.client.put_object(Bucket="names", Key=key, Body=PACKED if key.endswith("gz") else b"{}")
    stored = {o["Key"] for o in seaweed.client.list_objects_v2(Bucket="names")["Contents"]}  # this server takes a leading or double slash off
    assert len(stored) == len(KEPT) and {k for k in KEPT if "/" not in k} < stored
    for n, key in enumerate(sorted(stored)):
        assert run("get", f"s3://names/{key}", f"{tmp_path}/{n}/", "--endpoint-url", seaweed.url)[0] == 0
        assert names(tmp_path / str(n)) == [key.rpartition("/")[2]] and (tmp_path / str(n) / key.rpartition("/")[2]).stat().st_size > 1
    assert run("mirror", "s3://names", "s3://names/copy", "--endpoint-url", seaweed.url, "--source-endpoint-url", seaweed.url)[0] == 0
    assert {f"copy/{key}" for key in stored} == {o["Key"] for o in seaweed.client.list_objects_v2(Bucket="names", Prefix="copy/")["Contents"]}


@pytest.mark.parametrize("key", ["..", "x/..", "../../etc/x/..", "a\x9b[2J.json.gz"])
def test_keys_that_are_no_names(odd_s3, run, tmp_path, key):
    odd_s3.content = PACKED
    odd_s3.page = lambda token: page(f"<Key>{key}</Key>")
    code, _, err = run("get", f"s3://b/{key}", tmp_path, "--endpoint-url", odd_s3.url)
    assert code == 1 and "no name for a file" in err and names(tmp_path) == []


# where to

def test_where_a_file_is_put(site, run, tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old.gz").write_bytes(b"what was there")
    (tmp_path / "link.gz").symlink_to("real/old.gz")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "dangling.gz").symlink_to("real/new.gz")
    monkeypatch.chdir(tmp_path)
    for dest in ("link.gz", "folder", "dangling.gz", ".", "real/"): assert run("get", site.url("a.json.gz"), dest)[0] == 0
    assert names(tmp_path) == ["a.json.gz", "dangling.gz", "folder", "link.gz", "real"] and names(tmp_path / "real") == ["a.json.gz", "new.gz", "old.gz"]
    assert all((tmp_path / n).is_symlink() for n in ("dangling.gz", "folder", "link.gz")) and all(p.read_bytes() == PACKED for p in (tmp_path / "real").iterdir())
    for dest in ("a.json.gz/x", "a.json.gz/", "/proc/nothing/a.gz", "x" * 300, "\u202e" * 100, "/dev/full"):
        assert run("get", site.url("a.json.gz"), dest)[0] == 1
    (tmp_path / "b" / "a.json.gz").mkdir(parents=True)
    code, _, err = run("get", site.url("a.json.gz"), "b")
    assert code == 1 and "is a folder" in err and names(tmp_path / "b") == ["a.json.gz"]
    assert run("get", site.url("a.json.gz"), "/dev/null")[0] == 0 and Path("/dev/null").is_char_device()


def test_pipes_and_standard_output(site, run, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    come = []
    reader = threading.Thread(target=lambda: come.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    assert run("get", site.url("a.json.gz"), tmp_path / "pipe")[0] == 0
    reader.join(20)
    assert come == [PACKED] and (tmp_path / "pipe").is_fifo()
    done = subprocess.run([*COMMAND, "get", site.url("a.json.gz"), "-"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0 and done.stdout == PACKED and b"verified" in done.stderr and names(tmp_path) == ["pipe"]
    site.files["a.json.gz"] = CORRUPT
    done = subprocess.run([*COMMAND, "get", site.url("a.json.gz"), "-"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 1 and done.stdout == b"" and len(done.stderr.splitlines()) == 1


def test_parts_of_others_are_left(site, run, tmp_path):
    for name, mine in (("a.json.gz.part", b"mine"), ("a.json.gz.part.json", b"{}"), ("a.json.gz.part.json", b"[" * 100_000), ("a.json.gz.part.json", b'{"place": 1, "version": ["x"]}')):
        (tmp_path / name).write_bytes(mine)
        code, _, err = run("get", site.url("a.json.gz"), tmp_path)
        assert code == 1 and f"{name}: is in the way" in err and names(tmp_path) == [name] and (tmp_path / name).read_bytes() == mine
        (tmp_path / name).unlink()
    (tmp_path / "kept").write_bytes(b"kept")
    (tmp_path / "a.json.gz.part").symlink_to("kept")
    assert run("get", site.url("a.json.gz"), tmp_path)[0] == 1 and (tmp_path / "kept").read_bytes() == b"kept"


@pytest.fixture
def as_nobody():
    "A folder in which this process, as the user nobody, works: root may do everything."
    if os.geteuid(): pytest.skip("only root can become nobody")  # a right, not a service
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, 65534, 65534)
    os.setegid(65534)
    os.seteuid(65534)
    yield folder
    os.seteuid(0)
    os.setegid(0)
    shutil.rmtree(folder)


def test_without_permission(site, rclone, bucket_of_rclone, run, as_nobody):
    to = (f"s3://{bucket_of_rclone}/m", "--endpoint-url", rclone.url)
    for name in ("in/open", "in/closed"): (as_nobody / name).mkdir(parents=True)
    for name in ("in/open/a.json", "in/closed/b.json"): (as_nobody / name).write_bytes(b"{}")
    (as_nobody / "in" / "closed").chmod(0)
    code, out, err = run("mirror", as_nobody / "in", *to)
    assert code == 1 and "in/closed: permission denied" in err.lower() and out == ""
    (as_nobody / "in" / "closed").chmod(0o700)
    (as_nobody / "in" / "closed" / "b.json").chmod(0)
    code, _, err = run("mirror", as_nobody / "in", *to)
    assert code == 1 and "closed/b.json: permission denied" in err.lower()
    assert run("get", as_nobody / "in/closed/b.json", as_nobody / "c.json")[0] == 1
    (as_nobody / "in" / "open").chmod(0o500)
    code, _, err = run("get", site.url("a.json.gz"), as_nobody / "in" / "open")
    assert code == 1 and "permission denied" in err.lower() and names(as_nobody / "in" / "open") == ["a.json"]
    for folder in ("open", "closed"): (as_nobody / "in" / folder).chmod(0o700)


def test_a_folder_of_snapshots_that_may_not_be_read(as_nobody):
    "A run on half of the data would look like a run on all of them."
    for name in ("in/open", "in/closed"): (as_nobody / name).mkdir(parents=True)
    for name in ("in/open/a.json", "in/closed/b.json"): (as_nobody / name).write_bytes(b"{}")
    (as_nobody / "in" / "closed").chmod(0)
    with pytest.raises(InputError, match="in/closed: cannot be read"): snapshot_files(as_nobody / "in")
    (as_nobody / "in" / "closed").chmod(0o700)
    assert [p.name for p in snapshot_files(as_nobody / "in")[0]] == ["b.json", "a.json"]


@pytest.fixture
def bucket_of_rclone(rclone, request):
    name = f"c{abs(hash(request.node.nodeid)) % 10**12}"
    rclone.client.create_bucket(Bucket=name)
    return name


def test_what_is_no_file_is_named(rclone, bucket_of_rclone, run, tmp_path):
    (tmp_path / "a.json").write_bytes(b"{}")
    (tmp_path / "nowhere").symlink_to("absent")
    (tmp_path / "up").symlink_to("..")
    os.mkfifo(tmp_path / "pipe")
    code, out, err = run("mirror", tmp_path, f"s3://{bucket_of_rclone}/m", "--endpoint-url", rclone.url)
    assert code == 0 and len(out.splitlines()) == 1 and all(f"{name}: is no file" in err for name in ("nowhere", "up", "pipe"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / os.fsdecode(b"\xff\x1b.json")).write_bytes(b"{}")
    code, _, err = run("mirror", tmp_path / "in", f"s3://{bucket_of_rclone}/m", "--endpoint-url", rclone.url)
    assert code == 1 and r"\udcff\x1b.json: its name is not UTF-8" in err


def test_a_mirror_asks_no_more_than_it_must(rclone, bucket_of_rclone, run, tmp_path):
    "Two lists, and one request a file: what each file costs does not grow with their number."
    for n in range(120): (tmp_path / f"{n}.json").write_bytes(b"{}")
    requests = []
    for number in (20, 120):
        source = tmp_path / f"of{number}"
        source.mkdir()
        for n in range(number): (source / f"{n}.json").write_bytes(b"{}")
        with proxied(rclone.port) as proxy:
            assert run("mirror", source, f"s3://{bucket_of_rclone}/{number}", "--endpoint-url", f"http://127.0.0.1:{proxy.port}")[1].count("copied") == number
            requests.append(proxy.seen)
    assert requests[1] < 6.5 * requests[0], requests


def test_as_a_module(site, tmp_path):
    done = subprocess.run([sys.executable, "-m", "kickstarter_predictor.mirror", "get", site.url("a.json.gz"), str(tmp_path)], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0 and "fetched and verified" in done.stdout and names(tmp_path) == ["a.json.gz"]


@pytest.mark.parametrize("option, value", [("--pause", "-1"), ("--pause", "nan"), ("--timeout", "inf"), ("--timeout", "1e9"), ("--retries", "\u00b2"), ("--max-bytes", "-5"), ("--max-objects", "9" * 5000)])
def test_odd_options(option, value, capsys):
    with pytest.raises(SystemExit) as e: main(["get", "a", "b", option, value])
    assert e.value.code == 2 and option in capsys.readouterr().err
