"Notebooks, modules, stages and reports belong together, one of each to a name."
import ast
import configparser
import importlib.metadata
import json
import re
import sys

import pytest
import yaml
from conftest import ROOT, call
from kickstarter_predictor.scratch import scratch_clone
from kickstarter_predictor.stage import check_params, declared, sections

NOTEBOOKS = sorted((ROOT / "nbs").glob("*.ipynb"))
CHAPTERS = {re.sub(r"^\d\d_", "", p.stem): p for p in NOTEBOOKS}
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PACKAGE = ROOT / "kickstarter_predictor"
OWN = {"__init__.py", "_modidx.py"}


def imports(source: str) -> set[str]:
    found = (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.ImportFrom))
    return {n.module.removeprefix("kickstarter_predictor.") for n in found if n.module and (n.level == 1 or n.module.startswith("kickstarter_predictor."))}


def module_imports(name: str) -> set[str]:
    return imports((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))


def needed(names: set[str]) -> set[str]:
    "The modules `names` and all that they import, however far down."
    more = set().union(*(module_imports(n) for n in names)) - names if names else set()
    return needed(names | more) if more else names


def code(path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


def paths(outs) -> set[str]:
    return {o if isinstance(o, str) else next(iter(o)) for o in outs}


def test_export_and_clean_change_nothing():
    with scratch_clone(ROOT, as_it_is=True) as clone:
        before = {p.relative_to(clone): p.read_bytes() for folder in ("nbs", "kickstarter_predictor") for p in sorted((clone / folder).glob("*.*"))}
        for module in (clone / "kickstarter_predictor").glob("*.py"):
            if module.name not in OWN: module.unlink()
        call("nbdev_export", cwd=clone)
        call("nbdev_clean", cwd=clone)
        after = {p.relative_to(clone): p.read_bytes() for folder in ("nbs", "kickstarter_predictor") for p in sorted((clone / folder).glob("*.*")) if p.name != ".last_checked"}
    assert after.keys() == before.keys(), "a module without its notebook, or the other way round"
    assert [str(p) for p in before if before[p] != after[p]] == [], "run `make export`"


def test_update_changes_nothing():
    "nbdev_update carries edits of a module back into its notebook; without edits there is nothing to carry."
    with scratch_clone(ROOT, as_it_is=True) as clone:
        before = {p.name: p.read_bytes() for p in (clone / "nbs").glob("*.ipynb")}
        call("nbdev_update", cwd=clone)
        assert [n for n in before if (clone / "nbs" / n).read_bytes() != before[n]] == []


def test_line_endings_are_the_same_everywhere(tmp_path):
    "A clone by somebody whose git turns line ends into CR LF holds the same bytes."
    with scratch_clone(ROOT, as_it_is=True) as source:
        call("git", "add", "--all", cwd=source)
        call("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "--allow-empty", "-m", "x", cwd=source)
        call("git", "-c", "core.autocrlf=true", "clone", "-q", str(source), str(tmp_path / "clone"), cwd=tmp_path)
        files = call("git", "ls-files", "-z", cwd=source).stdout.split("\0")[:-1]
        assert [f for f in files if (source / f).read_bytes() != (tmp_path / "clone" / f).read_bytes()] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_clean(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert not any(c.get("outputs") or c.get("execution_count") for c in cells), "it holds outputs: run `make export`"
    assert not any(set(c["metadata"]) - {"tags"} for c in cells)
    longest = max(len(c["source"]) for c in cells if c["cell_type"] == "code")
    assert longest <= 60, f"a cell of {longest} lines is a wall of code"


@pytest.mark.parametrize("name", CHAPTERS)
def test_one_name_one_thing(name):
    stem = CHAPTERS[name].stem
    stage = STAGES[name]
    outs = paths(stage["outs"])
    assert stage["cmd"] == f"python -m kickstarter_predictor.stage {name}"
    if name == "index":
        assert "README.md" in outs
        return
    assert (PACKAGE / f"{name}.py").exists()
    assert {f"reports/{stem}.md", f"reports/{stem}.html"} <= outs
    assert (ROOT / "reports" / f"{stem}.md").exists() and (ROOT / "reports" / f"{stem}.html").exists()


def test_nothing_else_is_there():
    assert set(STAGES) == set(CHAPTERS)
    assert {p.stem for p in PACKAGE.glob("*.py") if p.name not in OWN} == set(CHAPTERS) - {"index"}
    assert set(sections()) == set(CHAPTERS)


@pytest.mark.parametrize("name", CHAPTERS)
def test_stage_depends_on_what_it_imports(name):
    listed = {d for d in STAGES[name]["deps"] if re.fullmatch(r"kickstarter_predictor/\w+\.py", d)}
    wanted = needed(imports(code(CHAPTERS[name])) | {"stage"}) - ({name} if name != "stage" else set())
    assert listed == {f"kickstarter_predictor/{m}.py" for m in wanted}


@pytest.mark.parametrize("name", CHAPTERS)
def test_imports_point_down(name):
    place = CHAPTERS[name].stem if name != "index" else "99"
    above = {m for m in imports(code(CHAPTERS[name])) if m != "stage" and CHAPTERS[m].stem >= place}
    assert not above


@pytest.mark.parametrize("name", CHAPTERS)
def test_parameters_are_declared(name):
    import nbformat

    types = declared(nbformat.read(CHAPTERS[name], as_version=4))
    assert check_params(name, sections()[name], types) == (sections()[name] or {})
    assert bool(types) == ("params" in STAGES[name]), "dvc.yaml must follow the section of a stage that has parameters"


def test_outputs_persist():
    "DVC removes outputs before a run unless they persist; a stage that fails must leave the last good ones."
    every = [o for s in STAGES.values() for kind in ("outs", "metrics") for o in s.get(kind, [])]
    assert all(isinstance(o, dict) and next(iter(o.values()))["persist"] for o in every)


@pytest.mark.parametrize("path", sorted(p for p in PACKAGE.glob("*.py") if p.name not in OWN), ids=lambda p: p.stem)
def test_a_name_is_defined_once(path):
    "Else the later one silently takes the place of the earlier, for both their callers."
    names = [n.name for n in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    assert sorted(names) == sorted(set(names))


def test_nothing_is_unpickled():
    text = "\n".join(p.read_text(encoding="utf-8") for p in PACKAGE.glob("*.py"))
    assert not re.search(r"\bimport (pickle|joblib\b.*load|dill|cloudpickle)|allow_pickle=True|read_pickle|joblib\.load", text)


def modes(call: ast.Call, place: int) -> str | None:
    "The mode that an `open` names, its argument number `place`: \"\" if none, None if it is computed."
    named = {k.arg: k.value for k in call.keywords}.get("mode", call.args[place] if len(call.args) > place else ast.Constant(""))
    return named.value if isinstance(named, ast.Constant) and isinstance(named.value, str) else None


def depends_on_the_locale(call: ast.Call) -> bool:
    "Whether `call` reads or writes text and leaves the encoding to the locale."
    name, options = ast.unparse(call.func), {k.arg for k in call.keywords}
    last = name.rpartition(".")[2]
    if options & {"encoding", None}: return False
    if last == "read_text": return not call.args
    if last == "write_text": return len(call.args) < 2
    if name == "open": return modes(call, 1) is not None and "b" not in modes(call, 1)
    if name in ("gzip.open", "igzip.open"): return "t" in (modes(call, 1) or "")
    if last == "open" and name not in ("os.open", "archive.open"): return "" != (modes(call, 0) or "") and set(modes(call, 0)) <= set("rwax+t")
    return name.startswith("subprocess.") and bool(options & {"text", "universal_newlines"})


@pytest.mark.parametrize("path", [*NOTEBOOKS, *sorted((ROOT / "tests").glob("*.py"))], ids=lambda p: p.name)
def test_every_text_names_its_encoding(path):
    "Else another locale reads and writes other bytes, or none."
    source = code(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    calls = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
    assert [ast.unparse(c) for c in calls if depends_on_the_locale(c)] == []


@pytest.mark.parametrize("text, wrong", [("open(p)", True), ("open(p, 'rb')", False), ("open(p, mode='w')", True), ("p.open('a')", True), ("p.open('ab')", False), ("p.read_text()", True), ("p.read_text('utf-8')", False),
                                         ("p.write_text(t, encoding='utf-8')", False), ("subprocess.run(c, text=True)", True), ("gzip.open(p)", False), ("gzip.open(p, 'rt')", True)])  # fmt: skip
def test_a_text_without_its_encoding_is_seen(text, wrong):
    assert depends_on_the_locale(ast.parse(text).body[0].value) == wrong


DEVELOPMENT = {"stage", "benchmark", "tune"}  # what they import to read and run notebooks, and to compare with, only a checkout needs


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda p: p.stem)
def test_every_import_is_of_a_package_that_is_declared(path):
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "settings.ini", encoding="utf-8")
    extras = ("", "app_", "mysql_", "postgresql_", "dask_", *(["dev_"] if path.stem in DEVELOPMENT else []))
    lines = "\n".join(settings["DEFAULT"][f"{extra}requirements"] for extra in extras).split("\n")
    plain = lambda name: name.lower().replace("_", "-")
    wanted = {plain(re.match(r"[\w.-]+", line)[0]) for line in lines if line.strip()}
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names} | {n.module for n in nodes if isinstance(n, ast.ImportFrom) and not n.level}
    names |= {n.args[0].value for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func) == "lazy"}
    packages = importlib.metadata.packages_distributions()
    others = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"kickstarter_predictor"}
    assert {name for name in others if not wanted & set(map(plain, packages.get(name, [])))} == set()
