"A notebook is a module; an analysis is also a stage and a report; and the house keeps its shape."
import ast
import configparser
import importlib.metadata
import json
import re
import statistics
import sys

import nbformat
import pytest
import yaml
from support.project import ROOT, call
from kickstarter_predictor.scratch import scratch_clone
from kickstarter_predictor.core import HOW, RENAMED, InputError, check_params, declared, param, parameters_of, sections
from kickstarter_predictor.stage import dvc_yaml, imports, needed_modules, run_start

NOTEBOOKS = sorted((ROOT / "nbs").glob("*.ipynb"))
CHAPTERS = {re.sub(r"^\d\d_", "", p.stem): p for p in NOTEBOOKS}
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PACKAGE = ROOT / "kickstarter_predictor"
OWN = {"__init__.py", "_modidx.py"}
SERVING = {"predict", "record", "form", "app"}
RESEARCH = {"tune", "evaluate", "population", "explore", "experiment", "monitor"}
BATCH_ONLY = {"acquire"}  # which predict imports for a batch
LONGEST_CELL = 40  # lines


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


def cells(path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def is_analysis(path) -> bool:
    return run_start(nbformat.read(path, as_version=4)) is not None


def by_hand(path) -> bool:
    return any("by-hand" in c["metadata"].get("tags", []) for c in cells(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_clean(path):
    first = run_start(nbformat.read(path, as_version=4)) if path.stem == "index" else 0  # cells that are to be read with their outputs: test_lab
    assert not any(c.get("outputs") for c in cells(path)[first:]), "it holds outputs: run `make export`"
    assert not any(c.get("execution_count") for c in cells(path))
    assert not any(set(c["metadata"]) - {"tags"} for c in cells(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_cell_is_one_thought(path):
    code_cells = ["".join(c["source"]).splitlines() for c in cells(path) if c["cell_type"] == "code"]
    assert [lines[0] for lines in code_cells if len(lines) > LONGEST_CELL] == []
    assert [line for lines in code_cells for line in lines if len(line) > 100] == []


def test_cells_are_short():
    lengths = sorted(len(c["source"]) for p in NOTEBOOKS for c in cells(p) if c["cell_type"] == "code")
    assert statistics.median(lengths) <= 8
    assert lengths[int(0.9 * len(lengths))] <= 25


def test_modules_are_small():
    lines = {p.stem: p.read_text(encoding="utf-8").count("\n") for p in PACKAGE.glob("*.py") if p.name not in OWN}
    assert {m: n for m, n in lines.items() if n > (700 if m == "sample" else 600)} == {}


def test_imports_stand_at_the_top():
    "Inside a function only what serving or a quick command would otherwise wait for."
    inner = [(p.stem, ast.unparse(n)) for p in PACKAGE.glob("*.py") for f in ast.walk(ast.parse(p.read_text(encoding="utf-8")))
             if isinstance(f, ast.FunctionDef) for n in ast.walk(f) if isinstance(n, (ast.Import, ast.ImportFrom))]  # fmt: skip
    assert len(inner) <= 25, inner
    roots = {re.match(r"(?:from|import) ([\w.]+)", text)[1].split(".")[0] for _, text in inner}
    assert roots <= {"sklearn", "xgboost", "boto3", "botocore", "dask", "distributed", "pandera", "statsmodels", "fcntl", "kickstarter_predictor", ""}, inner


def test_a_notebook_is_a_module():
    assert {p.stem for p in PACKAGE.glob("*.py") if p.name not in OWN} == set(CHAPTERS) - {"index"}
    numbers = [p.stem[:2] for p in NOTEBOOKS if p.stem != "index"]
    assert sorted(set(numbers)) == numbers


def test_an_analysis_is_a_stage_and_a_report():
    analyses = {name for name, path in CHAPTERS.items() if is_analysis(path)}
    assert set(STAGES) == {name for name in analyses if not by_hand(CHAPTERS[name])}
    stems = {CHAPTERS[name].stem for name in analyses - {"index", "summary"}}
    assert (ROOT / "reports" / "README.md").exists() and (ROOT / "reports" / "index.html").exists()  # the summary
    for kind in ("md", "html"):
        assert {p.stem for p in (ROOT / "reports").glob(f"[0-9]*.{kind}")} == stems


def test_dvc_yaml_is_what_the_notebooks_say():
    assert (ROOT / "dvc.yaml").read_text(encoding="utf-8") == dvc_yaml(ROOT), "run `make dvc`"


@pytest.mark.parametrize("name", CHAPTERS)
def test_imports_point_down(name):
    place = CHAPTERS[name].stem if name != "index" else "99"
    above = {m for m in imports(code(CHAPTERS[name])) if CHAPTERS[m].stem >= place and m != name}
    assert not above


def test_serving_stands_on_no_research():
    assert not needed_modules(SERVING, ROOT) & RESEARCH


def test_serving_loads_no_library_of_research():
    "Each visitor has a kernel of its own: what it imports, it imports for each."
    program = f"import sys, kickstarter_predictor.{', kickstarter_predictor.'.join(sorted(SERVING - {'app'}))}; print(*sorted(sys.modules))"
    loaded = set(call("python", "-c", program, cwd=ROOT).stdout.split())
    assert not loaded & {"sklearn", "xgboost", "optuna", "matplotlib", "statsmodels", "boto3", "pandera", "nbformat", "papermill"}
    assert not {f"kickstarter_predictor.{m}" for m in RESEARCH | BATCH_ONLY | {"stage", "report"}} & loaded


def test_every_section_is_used():
    declared_in = {name for name, path in CHAPTERS.items() if is_analysis(path) and declared(json.loads(path.read_text(encoding="utf-8")))}
    assert set(sections()) == declared_in | {"record", "refresh", HOW}
    assert set(sections()[HOW]) <= declared_in


@pytest.mark.parametrize("name", [name for name, path in CHAPTERS.items() if is_analysis(path)])
def test_parameters_are_declared(name):
    assert parameters_of(name).keys() == declared(json.loads(CHAPTERS[name].read_text(encoding="utf-8"))).keys()


@pytest.mark.parametrize("old, new", RENAMED.items())
def test_a_renamed_parameter_is_known_by_its_new_name(old, new):
    param(new)
    section, name = old.split(".")
    with pytest.raises(InputError, match=re.escape(new)):
        check_params(section, {name: 1}, {})


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


@pytest.mark.parametrize("path", [*NOTEBOOKS, *sorted((ROOT / "tests").glob("*.py")), *sorted((ROOT / "tests" / "support").glob("*.py")), *sorted((ROOT / "benchmarks").glob("*.py"))], ids=lambda p: p.name)
def test_every_text_names_its_encoding(path):
    "Else another locale reads and writes other bytes, or none."
    source = code(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    calls = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
    assert [ast.unparse(c) for c in calls if depends_on_the_locale(c)] == []


@pytest.mark.parametrize("text, wrong", [("open(p)", True), ("open(p, 'rb')", False), ("open(p, mode='w')", True), ("p.open('a')", True), ("p.open('ab')", False), ("p.read_text()", True), ("p.read_text('utf-8')", False),
                                         ("p.write_text(t, encoding='utf-8')", False), ("subprocess.run(c, text=True)", True), ("gzip.open(p)", False), ("gzip.open(p, 'rt')", True)])  # fmt: skip
def test_a_text_without_its_encoding_is_seen(text, wrong):
    assert depends_on_the_locale(ast.parse(text).body[0].value) == wrong


DEVELOPMENT = {"stage", "render", "report", "lab", "benchmark"}  # what they import to read and run notebooks, and to compare with, only a checkout needs


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
    packages = importlib.metadata.packages_distributions()
    others = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"kickstarter_predictor"}
    assert {name for name in others if not wanted & set(map(plain, packages.get(name, [])))} == set()
