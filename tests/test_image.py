"Dockerfile, compose.yaml and .dockerignore agree with each other and with the package. The image itself is checked by hand: benchmarks/check_image.py."
import importlib.util
import json
import re
import shlex
import subprocess
from configparser import ConfigParser

import pytest
import yaml
from benchmarks.check_image import KNOWN, ignored, needed, options, parse, patterns
from support.project import ROOT

STAGES = parse((ROOT / "Dockerfile").read_text(encoding="utf-8"))
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SETTINGS = ConfigParser(delimiters=["="])
SETTINGS.read(ROOT / "settings.ini")
SETTINGS = SETTINGS["DEFAULT"]
COPIES = [(s, *options(a)) for s, stage in STAGES.items() for i, a in stage.steps if i == "COPY"]


def kept() -> list[str]:
    "The files of git that reach the build."
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8").stdout.splitlines()
    return [f for f in listed if not ignored(f, patterns())]


def test_the_parser_knows_what_it_reads():
    assert needed(STAGES, "app") == ["wheels", "environment", "app"] and needed(STAGES, "pipeline") == ["wheels", "tools", "pipeline"]
    assert list(STAGES)[-1] == "app", "the last stage is what is built without a target"
    with pytest.raises(ValueError, match="ONBUILD"):
        parse("FROM x AS y\nONBUILD RUN z")
    assert "ADD" not in KNOWN


@pytest.mark.parametrize("stage, chosen, words", COPIES, ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_copied_exists(stage, chosen, words):
    if "from" in chosen:
        assert list(STAGES).index(chosen["from"]) < list(STAGES).index(stage)
        assert any(words[0] in a for n in needed(STAGES, chosen["from"]) for i, a in STAGES[n].steps if i == "RUN"), f"nobody makes {words[0]}"
        return
    for source in words[:-1]:
        assert source == "." or any(f == source or f.startswith(source.removeprefix("./") + "/") for f in kept()), f"{source} is not there, or left out"


def test_the_context_holds_what_is_needed_and_no_more():
    files = kept()
    assert {"requirements.lock", "setup.py", "dvc.yaml", "data.dvc", "nbs/33_record.ipynb", "kickstarter_predictor/packaged/model.json"} <= set(files)
    assert any(f.startswith("sample/") for f in files)
    secret = [".git/config", ".env", ".venv/bin/python", "artifacts/campaigns.sqlite", "data/x.json.gz", ".dvc/config.local", "kickstarter_predictor/__pycache__/x.pyc"]
    assert all(ignored(f, patterns()) for f in secret)


def test_each_final_stage_is_nobody_of_importance():
    for name in ("app", "pipeline"):
        user = STAGES[name].last("USER")
        assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user) and user.split(":")[0] in " ".join(a for i, a in STAGES[name].steps if i == "RUN")
    instructions = [i for i, _ in STAGES["app"].steps]
    assert "RUN" not in instructions[instructions.index("USER") :] and "COPY" not in instructions[instructions.index("USER") :]


def test_every_package_is_checked_by_its_hash():
    for name, stage in STAGES.items():
        for _, line in [s for s in stage.steps if s[0] == "RUN"]:
            for command in re.findall(r"pip (?:--python \S+ )?(?:install|download|wheel)[^&]*", line):
                assert "--no-index" in command or ("--require-hashes" in command and "requirements.lock" in command), f"{name}: {command}"
    locked = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.M))
    extras = re.search(r"kickstarter-predictor\[(.*?)\]", (ROOT / "Dockerfile").read_text(encoding="utf-8"))[1].split(",")
    for key in ["requirements", *(f"{e}_requirements" for e in extras)]:
        assert key in SETTINGS, f"the Dockerfile asks for an extra that settings.ini does not have: {key}"
        for line in filter(None, map(str.strip, SETTINGS[key].splitlines())):
            if "== \"darwin\"" not in line:
                assert re.match(r"[\w.-]+", line)[0].lower() in locked, f"{line} is not locked: run `make lock`"


def test_the_versions_are_one():
    minimum = SETTINGS["min_python"]
    assert {s.base for s in STAGES.values() if s.base not in STAGES} == {f"python:{minimum}-slim-bookworm"}
    assert f"--python-version {minimum}" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert COMPOSE["services"]["app"]["image"] == f"kickstarter-predictor:{SETTINGS['version']}"


def test_the_app_is_started_and_watched_as_it_listens():
    app = STAGES["app"]
    command, port = json.loads(app.last("CMD")), app.last("EXPOSE")
    assert command[:2] == ["python", "-m"] and importlib.util.find_spec(command[2]), "no such module"
    assert command[command.index("--port") + 1] == port and command[command.index("--host") + 1] == "0.0.0.0"
    assert f"python -m {command[2]}" in (ROOT / "Makefile").read_text(encoding="utf-8"), "`make app` starts another module"
    health = app.last("HEALTHCHECK")
    assert f":{port}/" in health and compile(json.loads(re.search(r"CMD (\[.*\])", health)[1])[2], "health", "exec")
    assert app.last("VOLUME") == app.last("WORKDIR")
    composed = COMPOSE["services"]["app"]["command"]
    assert composed[: len(command)] == command and composed[len(command) :] == ["--allowed-host", "${NAME:-localhost}"]
    assert STAGES["pipeline"].last("CMD") == '["dvc", "repro"]'


def test_compose():
    app, database = COMPOSE["services"]["app"], COMPOSE["services"]["database"]
    assert app["build"]["target"] in STAGES and app["read_only"] and app["cap_drop"] == ["ALL"] and any(t.startswith("/tmp") for t in app["tmpfs"])
    assert all(p.startswith("127.0.0.1:") and p.endswith(f":{STAGES['app'].last('EXPOSE')}") for p in app["ports"]), "a proxy stands in front of it"
    places = {v.split(":")[1]: v.split(":")[0] for s in (app, database) for v in s["volumes"]}
    assert places.keys() == {STAGES["app"].last("VOLUME"), "/var/lib/mysql"} and set(places.values()) == set(COMPOSE["volumes"])
    uri = app["environment"]["SQLALCHEMY_DATABASE_URI"]
    given = database["environment"]
    assert re.match(r"mysql\+pymysql://(\w+):\$\{DATABASE_PASSWORD:\?.*\}@(\w+)/(\w+)$", uri).groups() == (given["MARIADB_USER"], "database", given["MARIADB_DATABASE"])
    assert given["MARIADB_PASSWORD"].startswith("${DATABASE_PASSWORD:?") and "ports" not in database and database["healthcheck"]["test"][0] == "CMD"
    ignored_by_git = subprocess.run(["git", "check-ignore", "-q", ".env"], cwd=ROOT)
    assert ignored_by_git.returncode == 0, "the password must not reach git"


def test_the_documented_commands_use_what_is_there():
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    built = {}
    for line in re.findall(r"(?m)^docker build (.*)$", text):
        words = shlex.split(line, comments=True)
        built[words[words.index("-t") + 1]] = words[words.index("--target") + 1] if "--target" in words else list(STAGES)[-1]
    assert built == {"kickstarter-predictor": "app", "kickstarter-pipeline": "pipeline"}
    scripts = [line.split("=")[0].strip() for line in SETTINGS["console_scripts"].splitlines() if line.strip()]
    runs = [shlex.split(line, comments=True) for line in re.findall(r"(?m)^docker run (.*)$", text)]
    images = [next(w for w in words if w in built or w.startswith("python:")) for words in runs]
    commands = [words[words.index(image) + 1 :] for words, image in zip(runs, images)]
    assert any(command[:2] == ["kickstarter-snapshots", "get"] for command in commands) and any(".ci/run" in " ".join(command) for command in commands)
    assert all(command[0] in {*scripts, "sh"} for command in commands if command)
    assert all(image in built or image.startswith(f"python:{SETTINGS['min_python']}-") for image in images)
    # the commands of settings.ini are in the pipeline's image only if the project is installed there
    assert any("install" in line and line.endswith("-e .") for i, line in STAGES["pipeline"].steps if i == "RUN")
    volumes = re.findall(r"-v [\w\"$/.]+:(/\w+)", text)
    assert STAGES["app"].last("VOLUME") in volumes
