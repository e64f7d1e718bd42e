"kickstarter-snapshots on real servers that fail: a clear line, no half file under a final name, nothing lost, and the next run succeeds."
import ctypes
import gzip
import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import KEYS, call, free_ports, rclone_command, started
from flaky import Site, proxied, until
from kickstarter_predictor.acquire import main

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
    assert "hidden" not in (tmp_path / "a.json.gz.part.json").read_text()
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
    (small_disk / "mine.txt").write_text("keep")
    (small_disk / "a.json.gz").write_bytes(b"what was there")
    site.lengths = lengths
    code, _, err = run("get", site.url("a.json.gz"), small_disk / "a.json.gz")
    assert code == 1 and ("are free on this disk" if lengths else "no space left") in err
    assert (small_disk / "mine.txt").read_text() == "keep" and (small_disk / "a.json.gz").read_bytes() == b"what was there"
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
    assert "begins" in said.stderr and f"{len(PACKED):,} bytes" in said.stderr and "hidden" not in said.stderr + said.stdout and "INFO kickstarter_predictor.acquire" in said.stderr
    quiet = call("kickstarter-snapshots", "get", url, str(tmp_path / "b.json.gz"), cwd=tmp_path)
    assert quiet.stderr == "" and "fetched and verified" in quiet.stdout


def test_predicting_does_not_pay_for_it():
    loaded = call("python", "-c", "import sys, kickstarter_predictor.predict, kickstarter_predictor.acquire as a; print([m for m in ('boto3', 'botocore', 'urllib3') if m in sys.modules])", cwd=".")
    assert loaded.stdout.strip() == "[]"
