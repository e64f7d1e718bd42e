"README and the pages of docs/: short, in plain words, and true of the repository."
import ast
import importlib.util
import json
import re
from configparser import ConfigParser
from urllib.parse import unquote

import pytest
import yaml
from support.project import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {p.relative_to(ROOT).as_posix(): p.read_text(encoding="utf-8") for p in PAGES}
# Words of our own for which the field has a standard term (the term is written behind it), and words that hide what a thing holds.
OURS = {
    r"(odd|artefact) cells?": "single-outcome subcategories", r"protocols? [a-f]\b": "the protocol's name", r"spared( folds?)?": "folds not used for tuning",
    r"tries|asked|said|given|made": "request, answer, fields, created", r"questions?: (crawl|population)": "target_population", r"promised|came true": "predicted, observed", r"if exactly right|noise[_ ]floor": "expected under perfect calibration",
    r"published sources?": "random sample of all projects", r"shrunk": "smoothed target encoding", r"tables? of leaks": "leakage audit", r"numbered|codes|levels": "ordinal encoding, categories",
    r"lent|hidden": "masked, imputed", r"overreach(ing)?": "synthetic negatives with extreme goals", r"copies": "replicates", r"twins|redrawn": "bootstrap replicates", r"shares?|shared": "fraction, weights; shared_dir",
    r"AUC alone": "univariate AUC", r"added / missed": "gain when added, loss when dropped", r"hopeless|signs of life|give up|grace": "should_prune, heartbeat, expire", r"at_once": "n_jobs", r"limit": "sample_fraction",
    r"kept_rejects": "max_logged_rejects", r"amiss|mended|repeats|dirt": "issues, repaired, duplicates", r"rings|cry wolf|alarm line": "triggers an alert, threshold", r"against the bars": "Targets",
    r"leans on|for whom it works|would more campaigns help": "Feature importance, Performance by subgroup, Learning curve", r"tells of|with a net|to the last byte|told before launch": "documents, guarded, byte for byte, before launch",
    r"a_day|off_simulated": "visitors_per_day, simulated_bias", r"seats?|knocks?|nobody": "session, HEAD request",
}  # fmt: skip

def broken(page: str, text: str) -> list[str]:
    "The links of `page` to files or headings of the repository that are not there."
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)", text):
        if re.match(r"https?:", link): continue
        name, _, heading = unquote(link).partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        if not path.exists() or (heading and heading not in headings(path.read_text(encoding="utf-8"))):
            wrong.append(link)
    return wrong


def headings(text: str) -> list[str]:
    "The names that GitHub gives to the headings of a page."
    lines = re.findall(r"(?m)^#+ (.*)$", text)
    return [re.sub(r"[^\w\s-]", "", line.lower()).strip().replace(" ", "-") for line in lines]


def commands(text: str) -> list[str]:
    blocks = re.findall(r"(?ms)^ *```sh\n(.*?)^ *```", text)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def test_readme_is_short_and_begins_with_what_matters():
    text = TEXTS["README.md"]
    assert len(text.split()) <= 1100
    screen = text[: text.index("\n## ")]
    figures = json.loads((ROOT / "kickstarter_predictor" / "packaged" / "evidence.json").read_text(encoding="utf-8"))["population"]["by_given"]
    for of in ("all campaigns", "everything a form gives"):
        assert f"AUC {figures[of]['auc']:.3f}" in screen and f"calibration error {figures[of]['calibration_error']:.3f}" in screen
    assert "docs/form.webp" in screen and [c.split()[:2] for c in commands(screen)] == [["git", "clone"], ["make", "reproduce"], ["make", "app"]]
    synthetic = json.loads((ROOT / "reports" / "metrics.json").read_text(encoding="utf-8"))
    assert f"{synthetic['families'][synthetic['chosen']]['auc']:.3f}" not in text, "a figure of the synthetic snapshot is no result"


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page):
    assert broken(page, TEXTS[page]) == []


def test_every_page_is_linked_from_readme():
    linked = re.findall(r"\]\((docs/\w+\.md)", TEXTS["README.md"])
    assert set(linked) == {page for page in TEXTS if page.startswith("docs/")}


@pytest.mark.parametrize("page", TEXTS)
def test_words_are_those_of_the_field(page):
    text = TEXTS[page].replace("../shared/data", "")
    uses = {m[0]: better for pattern, better in OURS.items() for m in re.finditer(rf"\b(?:{pattern})\b", text, re.I)}
    assert uses == {}


def test_a_word_of_our_own_is_seen():
    assert all(any(re.search(rf"\b(?:{p})\b", word, re.I) for p in OURS) for word in ("odd cells", "Tries", "protocol e", "shrunk rates", "at_once"))


@pytest.mark.parametrize("page", TEXTS)
def test_commands_exist(page):
    targets = re.findall(r"(?m)^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"))
    text = TEXTS[page]
    assert set(re.findall(r"`make ([a-z]+)", text)) | set(re.findall(r"(?m)^make ([a-z]+)", text)) <= set(targets)
    assert all(importlib.util.find_spec(name) for name in re.findall(r"python -m (kickstarter_predictor\.\w+)", text))
    assert all((ROOT / path).exists() for path in re.findall(r"python (benchmarks/\w+\.py)", text))
    assert set(re.findall(r"\bkickstarter-[a-z]+(?= )", "\n".join(commands(text)))) <= {"kickstarter-predict", "kickstarter-snapshots", "kickstarter-outcomes", "kickstarter-predictor", "kickstarter-pipeline", "kickstarter-test"}


def test_parameters_exist():
    from kickstarter_predictor.core import param, sections

    for page, text in TEXTS.items():
        for name in re.findall(r"`((?:how\.)?[a-z_]+\.[a-z_]+)[:`]", text):
            if name.removeprefix("how.").split(".")[0] in sections() and not name.endswith((".md", ".py")):
                param(name)


def test_all_notebooks_are_listed():
    listed = re.findall(r"(?m)^\| \[(\w+)\]", TEXTS["docs/notebooks.md"])
    assert listed == sorted(p.stem for p in (ROOT / "nbs").glob("[0-9]*.ipynb"))


def test_readme_names_the_test_command():
    assert "make test " in "\n".join(commands(TEXTS["README.md"])) and (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().endswith("make test")


@pytest.mark.parametrize("page", [page for page in TEXTS if "```python" in TEXTS[page]])
def test_python_of_the_pages_is_valid(page):
    for block in re.findall(r"(?ms)^( *)```python\n(.*?)^ *```", TEXTS[page]):
        ast.parse(re.sub(rf"(?m)^{block[0]}", "", block[1]))


def test_repository_files_agree():
    settings = ConfigParser(interpolation=None)
    settings.read(ROOT / "settings.ini", encoding="utf-8")
    read = lambda name: (ROOT / name).read_text(encoding="utf-8")
    citation = yaml.safe_load(read("CITATION.cff"))
    assert (citation["version"], citation["license"], citation["repository-code"]) == (settings["DEFAULT"]["version"], "Apache-2.0", settings["DEFAULT"]["git_url"])
    assert "Apache License" in read("LICENSE")[:100] and "Version 2.0, January 2004" in read("LICENSE")[:200]
    assert f"({citation['version']})" in read("CHANGELOG.md")
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    assert workflow[True].keys() >= {"push", "pull_request"} and workflow["jobs"]["tests"]["steps"][-1]["run"] == ".ci/run"  # YAML reads `on` as true
    container = json.loads(read(".devcontainer/devcontainer.json"))
    assert container["postAttachCommand"] == "make lab" and settings["DEFAULT"]["min_python"] in container["image"]
