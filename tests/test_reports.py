"What reports show: six digits, and the text of others as text, in whatever browser or on GitHub."
import csv
import json
import re
import shutil

import nbformat
import pytest
import yaml
from support.project import ROOT, call
from support.hostile import TEXTS
from kickstarter_predictor.core import DIGITS
from kickstarter_predictor.render import round_text
from kickstarter_predictor.report import UNPRINTABLE, escaped, one_line
from markdown_it import MarkdownIt
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

REPORTS = ROOT / "reports"


def decimals(path) -> list[str]:
    "The numbers with a decimal point in what the report, JSON or CSV at `path` tells; of code only what it printed."
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        numbers = []
        json.loads(text, parse_float=lambda number: numbers.append(number))
        return numbers
    if path.suffix == ".csv":
        return [cell for row in csv.reader(text.splitlines()) for cell in row if re.fullmatch(r"-?\d+\.\d+(e-?\d+)?", cell)]
    text = re.sub(r'(?s)<style>.*?</style>|base64,[\w+/=]+|<div class="highlight">.*?</div>', "", text)
    return re.findall(r"(?<![\w.:])\d[\d,]*\.\d+(?!\.?\w)", text)


def digits(number: str) -> int:
    return len(re.sub(r"e.*|\D", "", re.sub(r"\.0$", "", number)).lstrip("0"))


def too_long(folder) -> list[str]:
    files = [p for p in sorted(folder.rglob("*.*")) if p.suffix in (".md", ".html", ".json", ".csv")]
    assert files
    return [f"{p.name}: {n}" for p in files for n in decimals(p) if digits(n) > 7]


def test_no_number_has_digits_to_spare():
    "What differs between processors stands from the fifteenth digit on, seldom from the eighth; what is compared has none of them."
    assert too_long(REPORTS) == []


def test_no_report_names_a_temporary_file():
    "Its name is another one in each run."
    pages = [p for p in REPORTS.rglob("*") if p.suffix in (".md", ".html", ".json")]
    assert pages and [p.name for p in pages if re.search(r"/tmp/tmp\w{8}", p.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("shown", [repr((1 / 7, [2e3 / 3], {"a": 1e-6 / 7})), f"{1e9 / 7:,}", f"x={-1 / 7!r};", f'{{"a":{1 / 7},"b":[{2 / 3},{1e-9 / 7}]}}', f"{1e17 / 7} {100 / 7:.20f}%", f"{1 + 2**-50!r}"])
def test_round_text(shown):
    numbers = lambda text: [float(n.replace(",", "")) for n in re.findall(r"-?\d[\d,]*\.?\d*(?:e[+-]?\d+)?", text)]
    short = round_text(shown)
    assert numbers(short) == pytest.approx(numbers(shown), rel=10.0**-(DIGITS - 1) / 2) and round_text(short) == short
    assert all(digits(n) <= DIGITS for n in re.findall(r"\d+\.\d+(?:e[+-]?\d+)?", short))


@pytest.mark.parametrize("text", ["2024-07-11T03:20:04.5412345Z", "1.26.45678901", "10.0.0.12345678", "v1.23456789", "0x1.999999999999ap-4", "a1.23456789", "file-1.23456789.csv", "1720667520", "12345678901234567890", "1.5", "0.000123456"])
def test_round_text_leaves_what_is_no_figure(text):
    assert round_text(text) == text


PROBE = r""" parameters
import json, numpy as np, pandas as pd, matplotlib.pyplot as plt
from IPython.display import HTML, Markdown, display
from kickstarter_predictor.core import param
from kickstarter_predictor.report import escaped, show, show_findings, show_table
from support.hostile import TEXTS
typed: list = param("probe.typed")
third = 1e3 / 7
%%%
print(third, (third, [third]), {"a": third}, json.dumps([third, 1 / 3]), np.array([third, 1 / 3]), sep="\n"), print(TEXTS)
%%%
(third, {"a": (np.float64(third), [1 / 3])}, np.float32(1 / 3))
%%%
pd.DataFrame({"a": [third, 1 / 3], TEXTS[0]: TEXTS[:2]})
%%%
pd.Series([1e5 / 7, 1 / 7]), third
%%%
display(HTML(TEXTS[0]), {"a": third}, third)
%%%
third
%%%
show_findings(*(f"{escaped(t)} and **{escaped(t)}**: {third}" for t in TEXTS))
%%%
for t in TEXTS:
    show_table(pd.DataFrame({t: [t, third], "n": [1, 2]}), t)
%%%
fig, ax = plt.subplots()
ax.barh(TEXTS, range(1, len(TEXTS) + 1), label=TEXTS[1])
ax.set(title=TEXTS[7], xlabel=TEXTS[13], ylabel=TEXTS[0], xscale="log"), ax.legend(title=TEXTS[7])
show(fig, TEXTS[3])
%%%
fig, axes = plt.subplots(1, 2, sharey=True, layout="tight")
axes[0].plot(TEXTS, range(len(TEXTS))), axes[1].plot([1, 2]), axes[1].annotate(TEXTS[7], (0, 1))
show(fig, TEXTS[1])
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    "The reports of a project whose one notebook shows figures in every way, and hostile texts in every place."
    folder = tmp_path_factory.mktemp("probe")
    (folder / "nbs").mkdir()
    cells = [new_markdown_cell("# Probe & co\n\n> Shows.")]
    for source in PROBE.split("%%%"):
        tags = ["parameters"] * source.startswith(" parameters")
        cells.append(new_code_cell(source.removeprefix(" parameters").strip(), metadata={"tags": tags} if tags else {}))
    nb = new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
    nbformat.write(nb, folder / "nbs" / "00_probe.ipynb")
    (folder / "params.yaml").write_text(yaml.safe_dump({"probe": {"typed": TEXTS}}), encoding="utf-8")
    (folder / "dvc.yaml").write_text("stages: {}", encoding="utf-8")
    (folder / "support").mkdir()
    (folder / "support" / "hostile.py").write_bytes((ROOT / "tests" / "support" / "hostile.py").read_bytes())
    shutil.copytree(ROOT / "kickstarter_predictor", folder / "kickstarter_predictor")
    (folder / "kickstarter_predictor" / "probe.py").write_text("__all__ = []\n", encoding="utf-8")
    call("python", "-m", "kickstarter_predictor.stage", "probe", cwd=folder)
    return folder / "reports"


def test_the_runner_rounds_whatever_a_cell_shows(probe):
    page, text = ((probe / f"00_probe.{kind}").read_text(encoding="utf-8") for kind in ("html", "md"))
    shown = re.sub(r'(?s)<div class="highlight">.*?</div>', "", page)
    assert too_long(probe) == [] and shown.count("142.857") >= 20 and shown.count("0.333333") >= 5 and "142.857" in text and "14285.7" in shown


BAD = """() => [...document.querySelectorAll('*')].filter(e =>
    'SCRIPT IFRAME SVG BASE OBJECT EMBED LINK FORM INPUT PLAINTEXT VIDEO'.split(' ').includes(e.tagName.toUpperCase())
    || e.getAttributeNames().some(n => n.startsWith('on') || n == 'autofocus')
    || (e.tagName == 'META' && e.httpEquiv == 'refresh') || (e.tagName == 'STYLE' && e.parentElement.tagName != 'HEAD')
    || (e.tagName == 'A' && /evil|^javascript|^data/.test(e.getAttribute('href'))) || (e.tagName == 'IMG' && /evil|^x$/.test(e.getAttribute('src')))
).map(e => e.outerHTML.slice(0, 200))"""


def faults(chromium, path) -> tuple[list[str], str, list[str]]:
    "(what the page at `path` did that a report must not, its text, its headings), with the page's own policy switched off."
    context = chromium.new_context(bypass_csp=True)
    page, faulty = context.new_page(), []
    page.on("dialog", lambda d: (faulty.append(f"a dialog: {d.message}"), d.dismiss()))
    page.on("request", lambda r: r.url.startswith(("data:", path.parent.as_uri())) or faulty.append(f"asks {r.url}"))
    page.goto(path.as_uri())
    page.wait_for_timeout(50)
    if page.evaluate("window.hacked"): faulty.append("a script ran")
    faulty += page.evaluate(BAD)
    text, headings = page.evaluate("document.body.textContent"), page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => h.textContent)")
    context.close()
    return faulty, text, headings


def rendered(path):
    "The Markdown at `path` as a page beside it, with what HTML it holds, which GitHub would take out."
    page = path.with_name(f"{path.name}.html")
    body = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(path.read_text(encoding="utf-8"))
    page.write_text(f'<meta charset="utf-8">{body}', encoding="utf-8")
    return page


def test_hostile_text_is_text_in_every_place(chromium, probe):
    for path in (probe / "00_probe.html", rendered(probe / "00_probe.md")):
        faulty, text, headings = faults(chromium, path)
        plain = " ".join(text.split())
        assert faulty == [] and headings[:2] == ["Probe & co", "Findings"] and headings[2:] == ["Parameters"]
        assert [t for t in TEXTS if plain.count(one_line(t)) < 4] == [], path.name  # findings, caption, head and cell of a table
    policy = re.search(r'Content-Security-Policy"\s+content="(.*?)"', (probe / "00_probe.html").read_text(encoding="utf-8"))[1]
    assert policy.startswith("default-src 'none';") and "script-src" not in policy


def test_no_report_does_anything_on_hostile_campaigns(chromium, on_hostile_campaigns):
    "Every report of the pipeline on a snapshot whose every text is hostile."
    pages = {p.stem: p for p in on_hostile_campaigns.glob("*.html")} | {p.name: rendered(p) for p in on_hostile_campaigns.glob("*.md")}
    assert set(pages) == {p.stem for p in REPORTS.glob("*.html")} | {p.name for p in REPORTS.glob("*.md")}
    texts = {}
    for name, path in pages.items():
        faulty, texts[name], headings = faults(chromium, path)
        source = "README" if name == "index" else name.removesuffix(".md")
        expected = re.findall(r"(?m)^#+ (.*)", (REPORTS / f"{source}.md").read_text(encoding="utf-8"))
        expected += ["Is AUC ≥ 0.9 met?"] * (name == "model_card.md")  # these campaigns are not marked as synthetic
        shown = headings if name.endswith(".md") else headings[: len(expected)]
        plain = [h.replace("`", "") for h in expected]
        assert faulty == [] and [h for h in shown if h not in plain] == [], name
    everything = " ".join(" ".join(texts.values()).split())
    assert len([t for t in TEXTS if one_line(t, 60).rstrip("…") in everything]) >= 12, "hardly anything hostile was shown"
    assert too_long(on_hostile_campaigns) == []


@pytest.mark.parametrize("text", [*TEXTS, "# a", "> a", "- a", "+ a", "1. a", "12) a", "---", "***", "a\\", "\\", "", "[ ] a", "<http://a.b>", "a&amp;b", "_a_", "a_b_c", "__init__.py", "~a~", "|", "a*b*c"])
def test_escaped_shows_what_it_was_given(text):
    page = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for before, after in (("- ", ""), ("a **b** ", " c"), ("| a |\n| --- |\n| ", " |")):
        html = page.render(before + escaped(text) + after)
        assert not re.search(r"<(?!/?(ul|li|p|strong|table|thead|tbody|tr|th|td)\b)", html), html
        shown = re.sub(r"<[^>]*>", "", html).replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
        assert one_line(text) in shown and not UNPRINTABLE.search(shown)
