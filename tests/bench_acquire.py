"""What acquiring costs: python tests/bench_acquire.py [--lines 200000] [--rounds 3] [--folder DIR]

CPU seconds beside those of igzip's decompression and simdjson's parse alone (`pip install pysimdjson`), in the same run, and peak memory: of one snapshot, of
one with 100,000 lines more, of two that merge. Each measurement is a process of its own; the snapshots (the embedded one, multiplied, with the long image
addresses of real records) are made in `--folder`, and kept there if it is given."""
import argparse
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SAMPLE = Path(__file__).parents[1] / "sample"
SIZES = {"full": (560, 315), "ed": (352, 198), "med": (272, 153), "little": (208, 117), "small": (160, 90), "thumb": (48, 27), "1024x576": (1024, 576), "1536x864": (1552, 873)}


def address(key: str, w: int, h: int) -> str:
    end = hashlib.md5(f"{key}{w}".encode()).hexdigest()
    return f"https://ksr-ugc.imgix.net/{key}?ixlib=rb-2.1.0&crop=faces&w={w}&h={h}&fit=crop&v=1546961643&auto=format&frame=1&q=92&s={end}"


def widened(record: dict, shift: int) -> dict:
    "`record` with another id and the images of a real one, about 5 kB long as JSON."
    data = record["data"] | {"id": record["data"]["id"] + shift}
    key = hashlib.md5(str(data["id"]).encode()).hexdigest()
    key = f"assets/{key[:3]}/{key[3:6]}/{key[6:9]}/{key}_original.png"
    data["photo"] = {"key": key} | {name: address(key, *size) for name, size in SIZES.items()}
    if data.get("creator"): data["creator"] = data["creator"] | {"avatar": {n: address("a" + key, w, w) for n, w in (("thumb", 40), ("small", 160), ("medium", 160))}}
    return record | {"data": data}


def generate(path: Path, lines: int, run_id: str | None = None, skipped: int = 0) -> None:
    "Write `lines` lines to `path`; another `run_id` makes it another month's, which lacks the first `skipped` lines."
    import gzip

    import msgspec
    with gzip.open(next(SAMPLE.glob("*.json.gz"))) as f: records = [r for line in f if (r := _parsed(line))]
    rows = (widened(records[i % len(records)], (i // len(records)) * 5_000_000_000) for i in range(skipped, skipped + lines))
    with gzip.open(path, "wb", compresslevel=6) as f:
        for row in rows: f.write(msgspec.json.encode(row | ({"run_id": run_id} if run_id else {})) + b"\n")


def _parsed(line):
    try: return r if isinstance(r := json.loads(line), dict) and isinstance(r.get("data"), dict) and isinstance(r["data"].get("id"), int) else None
    except ValueError: return None


def limit(path: Path) -> None:
    "What no reader can do without: decompression and a parse of every line."
    import simdjson
    from isal import igzip
    parser = simdjson.Parser()
    with igzip.open(path) as f:
        for line in f: parser.parse(line)


def decompressed(path: Path) -> None:
    from isal import igzip
    with igzip.open(path) as f:
        while f.read(1 << 20): pass


def acquired(path: Path) -> None:
    from kickstarter_predictor.acquire import acquire
    with tempfile.TemporaryDirectory() as tmp: provenance, _ = acquire(path, Path(tmp) / "projects.parquet", quiet=True)
    print({k: int(provenance[k].sum()) for k in ("lines", "projects")}, file=sys.stderr)


def imported(path: Path) -> None:
    import kickstarter_predictor.acquire  # noqa: F401
    import pandera.pandas  # noqa: F401  (acquire imports it when it is needed)


def peak() -> float:
    "Peak memory of this process in MB (of its own image, not of the one that started it)."
    try: return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
    except OSError: return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(what: str, path: Path) -> tuple[float, float]:
    "(CPU seconds, peak MB) of `what` on `path` in a process of its own."
    done = subprocess.run([sys.executable, __file__, "--child", what, str(path)], check=True, stdout=subprocess.PIPE, text=True)
    return tuple(json.loads(done.stdout))


CHILDREN = {"limit": limit, "igzip": decompressed, "acquire": acquired, "import": imported, "generate": lambda spec: generate(Path((s := json.loads(str(spec)))[0]), *s[1:])}


def bench(folder: Path, lines: int, rounds: int) -> None:
    made = {"one": (lines, None, 0), "more": (lines + 100_000, None, 0), "two/a": (lines, None, 0), "two/b": (lines, "Kickstarter_2024-08-15T03_20_00_000Z", lines // 5)}
    (folder / "two").mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}-{lines}.json.gz" for name in made}
    for name, spec in made.items():
        if not paths[name].exists(): measured("generate", json.dumps([str(paths[name]), *spec]))
    cpu, memory = {}, {}
    for _ in range(rounds):
        for what, place in (("import", "one"), ("igzip", "one"), ("limit", "one"), ("acquire", "one"), ("acquire", "more"), ("acquire", "two")):
            spent, most = measured(what, paths[place] if place != "two" else folder / "two")
            cpu.setdefault((what, place), []).append(spent), memory.setdefault((what, place), []).append(most)
    base = statistics.median(cpu["limit", "one"])
    print(f"\n{lines:,} lines, {paths['one'].stat().st_size / 1e6:.0f} MB packed; median CPU of {rounds} rounds, largest peak\n")
    print(f"{'':28}{'CPU s':>8}{'x limit':>9}{'peak MB':>9}")
    for (what, place), values in cpu.items(): print(f"{what + ' ' + place:28}{statistics.median(values):8.2f}{statistics.median(values) / base:9.2f}{max(memory[what, place]):9.0f}")
    for told, without in (("the whole process", [0] * rounds), ("without what importing costs", cpu["import", "one"])):
        ratios = [(a - i) / b for a, b, i in zip(cpu["acquire", "one"], cpu["limit", "one"], without)]
        print(f"acquire / (igzip + simdjson), {told}: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"100,000 lines more: {max(memory['acquire', 'more']) - max(memory['acquire', 'one']):+.0f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        CHILDREN[args.child[0]](Path(args.child[1]))
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps([used.ru_utime + used.ru_stime, peak()]))
    elif args.folder: bench(args.folder, args.lines, args.rounds)
    else:
        with tempfile.TemporaryDirectory() as tmp: bench(Path(tmp), args.lines, args.rounds)
