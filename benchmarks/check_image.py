"""The Dockerfile's steps run in order in a clean root, for machines without a Docker engine:
debootstrap, chroot, and the Dockerfile's own lines.

Run by hand as root: `python benchmarks/check_image.py [app|pipeline]`; with `--start`, what was
built before is only started. Debian 12 with its Python 3.11 stands in for
python:3.11-slim-bookworm.
It builds the target and what it is made from, then starts it as the Dockerfile says: its user, its
environment, read-only but for /tmp and its volumes.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[1]
KNOWN = {
    "ARG",
    "CMD",
    "COPY",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "RUN",
    "USER",
    "VOLUME",
    "WORKDIR",
}
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
WHERE = Path(os.environ.get("CHECK_IMAGE_ROOT", "/var/tmp/check-image"))


@dataclass
class Stage:
    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)
    env: dict = field(default_factory=dict)
    user: str = "0:0"
    workdir: str = "/"

    def last(self, instruction: str) -> str | None:
        return next((a for i, a in reversed(self.steps) if i == instruction), None)


def parse(text: str) -> dict[str, Stage]:
    """The stages of a Dockerfile by name, in order; ValueError for an instruction that is not
    carried out here."""
    lines = re.sub(
        r"\\\n",
        "",
        "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")),
    )
    stages: dict[str, Stage] = {}
    for line in filter(str.strip, lines.splitlines()):
        instruction, _, args = line.strip().partition(" ")
        if instruction not in KNOWN:
            raise ValueError(f"{instruction}: unknown instruction")
        if instruction == "FROM":
            base, _, name = args.partition(" AS ")
            stages[name] = Stage(name, base)
        else:
            list(stages.values())[-1].steps.append((instruction, args.strip()))
    return stages


def ignored(path: str, patterns: list[str]) -> bool:
    "Whether .dockerignore leaves out `path` or a folder that it is in."
    parts = path.split("/")
    above = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    return any(
        fnmatch(p, q) or (q.startswith("**/") and fnmatch(p.split("/")[-1], q[3:]))
        for p in above
        for q in patterns
        if p.count("/") == q.count("/") or q.startswith("**/")
    )


def patterns() -> list[str]:
    return [
        line.strip().rstrip("/")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]


def options(args: str) -> tuple[dict, list[str]]:
    "({option: value}, the other words) of a COPY."
    words = shlex.split(args)
    return dict(w[2:].split("=", 1) for w in words if w.startswith("--")), [
        w for w in words if not w.startswith("--")
    ]


def needed(stages: dict[str, Stage], target: str) -> list[str]:
    "`target` and all stages that it is made from, in the Dockerfile's order."
    wanted, new = set(), {target}
    while new:
        wanted |= new
        new = {
            n
            for s in new
            for n in [
                stages[s].base,
                *(options(a)[0].get("from") for i, a in stages[s].steps if i == "COPY"),
            ]
            if n in stages
        } - wanted
    return [n for n in stages if n in wanted]


def run(*command, **kwargs):
    return subprocess.run([str(c) for c in command], check=True, **kwargs)


def base_root(image: str) -> Path:
    "A clean Debian 12 with python and pip in /usr/local/bin, as the image has."
    if image != "python:3.11-slim-bookworm":
        raise ValueError(f"{image}: no stand-in for this image")
    root = WHERE / "base"
    if not (root / "usr/local/bin/pip").exists():
        shutil.rmtree(root, ignore_errors=True)
        run(
            "debootstrap",
            "--variant=minbase",
            "--include=python3,python3-venv,ca-certificates",
            "bookworm",
            root,
            "http://deb.debian.org/debian",
            stdout=subprocess.DEVNULL,
        )
        run(
            "/usr/sbin/chroot",
            root,
            "python3",
            "-m",
            "venv",
            "/usr/local",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
    return root


def inside(root: Path, stage: Stage, command: list[str], **kwargs) -> subprocess.Popen:
    "Start `command` in `root` with the stage's user, environment and folder."
    enter = ["sh", "-c", 'cd "$0" && exec "$@"', stage.workdir, *command]
    env = {
        "PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        **stage.env,
    }
    return subprocess.Popen(
        ["/usr/sbin/chroot", f"--userspec={stage.user}", str(root), *enter], env=env, **kwargs
    )


def mount(root: Path) -> None:
    run("mount", "-t", "proc", "proc", root / "proc")
    run("mount", "--rbind", "/dev", root / "dev")


def copy(root: Path, roots: dict[str, Path], stage: Stage, args: str) -> None:
    chosen, (*sources, target) = options(args)
    to = Path(os.path.normpath(os.path.join(stage.workdir, target)))
    place = root / to.relative_to("/")
    origin = roots[chosen["from"]] if "from" in chosen else ROOT
    left_out = [] if "from" in chosen else patterns()
    for source in sources:
        at = origin / source.lstrip("/") if "from" in chosen else origin / source
        matches = (
            [at]
            if at.is_file()
            else [Path(d) / f for d, _, files in os.walk(at) for f in files]
            + [
                Path(d) / f
                for d, subs, _ in os.walk(at)
                for f in subs
                if (Path(d) / f).is_symlink()
            ]
        )
        if not matches:
            raise FileNotFoundError(f"COPY {args}: {source} is not there")
        for f in matches:
            if ignored(str(f.relative_to(origin)), left_out):
                continue
            goal = place / (f.name if at.is_file() else f.relative_to(at))
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(f, goal, follow_symlinks=False)
    if owner := chosen.get("chown"):
        run("chown", "-R", owner, place)


def settle(stage: Stage, instruction: str, args: str) -> None:
    "What an instruction changes of the stage's environment, user and folder."
    match instruction:
        case "ENV":
            stage.env |= dict(w.split("=", 1) for w in shlex.split(args))
        case "WORKDIR":
            stage.workdir = os.path.join(stage.workdir, args)
        case "USER":
            stage.user = args


def build(stage: Stage, roots: dict[str, Path], stages: dict[str, Stage], start_only: bool) -> Path:
    root = WHERE / stage.name
    if stage.base in stages:
        above = stages[stage.base]
        stage.env, stage.user, stage.workdir = dict(above.env), above.user, above.workdir
    if start_only:
        for instruction, args in stage.steps:
            settle(stage, instruction, args)
        return root
    shutil.rmtree(root, ignore_errors=True)
    run("cp", "-a", "--reflink=auto", roots.get(stage.base) or base_root(stage.base), root)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    shutil.copy(
        CERTIFICATES, root / CERTIFICATES[1:]
    )  # with that of a proxy, if this machine is behind one
    mount(root)
    network = {
        k: v
        for k, v in os.environ.items()
        if k.lower()
        in ("http_proxy", "https_proxy", "no_proxy", "pip_index_url", "pip_cert", "ssl_cert_file")
    }
    try:
        for instruction, args in stage.steps:
            begin = time.monotonic()
            settle(stage, instruction, args)
            match instruction:
                case "WORKDIR":
                    (root / stage.workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
                case "COPY":
                    copy(root, roots, stage, args)
                case "RUN":
                    kept, stage.env = stage.env, {**stage.env, **network}
                    code = inside(root, stage, ["sh", "-c", args]).wait()
                    stage.env = kept
                    if code:
                        raise SystemExit(f"{stage.name}: RUN {args} exited with {code}")
            print(
                f"{stage.name:12} {instruction:8} {args[:90]} ({time.monotonic() - begin:.1f} s)",
                flush=True,
            )
    finally:
        run("umount", "-R", "-l", root / "dev", root / "proc")
    return root


def start(root: Path, stage: Stage, volumes: list[str]) -> subprocess.Popen:
    """Start the stage's CMD: the root read-only, /tmp in memory, each volume a folder of its own
    with the image's owner."""
    run("mount", "--bind", root, root)
    for volume in volumes:
        own = WHERE / "volumes" / volume.strip("/")
        shutil.rmtree(own, ignore_errors=True)
        own.parent.mkdir(parents=True, exist_ok=True)
        run("cp", "-a", root / volume.strip("/"), own)
        run("mount", "--bind", own, root / volume.strip("/"))
    run("mount", "-t", "tmpfs", "-o", "mode=1777,size=256m", "tmpfs", root / "tmp")
    mount(root)
    run("mount", "-o", "remount,bind,ro", root)
    return inside(root, stage, json.loads(stage.last("CMD")), start_new_session=True)


def check_app(root: Path, stage: Stage) -> None:
    """It starts, is healthy, serves its page, predicts, records, is not root and can write
    nowhere but where it should."""
    running = start(root, stage, [stage.last("VOLUME")])
    try:
        health = json.loads(re.search(r"CMD (\[.*\])", stage.last("HEALTHCHECK"))[1])
        begin = time.monotonic()
        while inside(root, stage, health, stderr=subprocess.DEVNULL).wait():
            assert running.poll() is None, f"the app ended with {running.returncode}"
            assert time.monotonic() - begin < 120, "not healthy after 120 s"
            time.sleep(0.5)
        print(f"healthy after {time.monotonic() - begin:.1f} s")
        with urllib.request.urlopen(
            f"http://127.0.0.1:{stage.last('EXPOSE')}/", timeout=60
        ) as answer:
            page = answer.read().decode()
        print(
            f"GET / says {answer.status}, {len(page):,} characters, title {re.search('<title>(.*?)</title>', page)[1]!r}"
        )
        owners = {
            os.stat(p).st_uid for p in Path("/proc").glob("[0-9]*") if _root_of(p) == str(root)
        }
        print(f"its processes belong to the user {', '.join(map(str, owners))}")
        assert owners == {int(stage.user.split(":")[0])} and 0 not in owners
        for command in (
            ["python", "-m", "kickstarter_predictor.record", "status"],
            [
                "kickstarter-predict",
                "--name",
                "Fog & Lanterns",
                "--goal",
                "12000",
                "--days",
                "30",
                "--category",
                "Tabletop Games",
                "--launch",
                "2024-03-05",
            ],
            [
                "python",
                "-c",
                "import pymysql, psycopg; print('drivers for MySQL and PostgreSQL are there')",
            ],
            [
                "sh",
                "-c",
                "for d in / /opt/app /usr /etc; do if touch $d/x 2>/dev/null; then exit 1; fi; done; touch /data/x /tmp/x && rm /data/x && echo 'only /data and /tmp can be written'",
            ],
        ):
            process = inside(root, stage, command, stdout=subprocess.PIPE, text=True)
            print(
                f"$ {' '.join(command)[:60]}\n  {process.communicate(timeout=120)[0].strip().splitlines()[0]}"
            )
            assert process.returncode == 0, command
    finally:
        begin = time.monotonic()
        os.killpg(running.pid, signal.SIGTERM)
        print(f"stopped by SIGTERM with {running.wait(30)} after {time.monotonic() - begin:.1f} s")


def _root_of(process: Path) -> str:
    try:
        return os.readlink(process / "root")
    except OSError:
        return ""


def check_pipeline(root: Path, stage: Stage) -> None:
    "It fetches a snapshot, and reproduces: the dvc.lock it writes is the committed one."
    mount(root)
    (snapshot,) = (ROOT / "sample").glob("*.json.gz")
    assert (
        inside(
            root,
            stage,
            [
                "kickstarter-snapshots",
                "get",
                f"file:///project/sample/{snapshot.name}",
                "/tmp/snapshots/",
            ],
        ).wait()
        == 0
    )
    assert (root / "tmp/snapshots" / snapshot.name).read_bytes() == snapshot.read_bytes()
    print("kickstarter-snapshots get: the same bytes")
    begin = time.monotonic()
    assert inside(root, stage, json.loads(stage.last("CMD"))).wait() == 0
    same = (root / "project/dvc.lock").read_text(encoding="utf-8") == (ROOT / "dvc.lock").read_text(
        encoding="utf-8"
    )
    print(
        f"dvc repro took {time.monotonic() - begin:.0f} s; dvc.lock is {'the committed one' if same else 'NOT the committed one'}"
    )


def main(target: str = "app", *flags: str) -> None:
    if os.geteuid() or not shutil.which("debootstrap"):
        raise SystemExit("run this as root, with debootstrap installed")
    if "CHECK_IMAGE_INNER" not in os.environ:  # mounts of our own, gone with us
        os.environ["CHECK_IMAGE_INNER"] = "1"
        os.execvp(
            "unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv]
        )
    stages, roots = parse((ROOT / "Dockerfile").read_text(encoding="utf-8")), {}
    WHERE.mkdir(parents=True, exist_ok=True)
    for name in needed(stages, target):
        roots[name] = build(stages[name], roots, stages, "--start" in flags)
    size, base = (
        int(
            subprocess.run(
                ["du", "-sm", f], capture_output=True, text=True, encoding="utf-8"
            ).stdout.split()[0]
        )
        for f in (roots[target], WHERE / "base")
    )
    print(f"{target}: {size} MB, of which the base system {base} MB")
    {"app": check_app, "pipeline": check_pipeline}[target](roots[target], stages[target])
    print(f"{target}: as it should be")


if __name__ == "__main__":
    main(*sys.argv[1:])
