"What a reader of the reports meets: sound pages in an order, that fit a window, can be read by everybody, and claim nothing that was not measured."
import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from kickstarter_predictor.evidence import BINS, MIN_BIN
from kickstarter_predictor.stage import READING, name_of
from support.browser import AXE, WIDTHS, need
from support.project import ROOT

REPORTS = ROOT / "reports"
PAGES = sorted(REPORTS.glob("*.html"))
TEXTS = sorted(REPORTS.glob("*.md"))
VOID = "area base br col embed hr img input link meta source track wbr".split()
every_page = pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
every_text = pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.stem)


class Page(HTMLParser):
    "Elements of a page, in order, and what is wrong with their nesting."

    def __init__(self, text: str):
        super().__init__()
        self.open, self.wrong, self.elements = [], [], []
        self.feed(text)
        self.close()
        self.wrong += [f"{tag} is never closed" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("p", "table", "ul", "pre", "h2", "details") and "p" in self.open:
            self.wrong.append(f"{tag} within p")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"/{tag} closes another element")

    def of(self, *tags):
        return [(tag, attrs) for tag, attrs in self.elements if tag in tags]


def test_there_is_a_page_for_each_report_and_a_summary():
    assert {name_of(p.stem) for p in PAGES} >= {*READING} - {"summary"} | {"index"}


@every_page
def test_a_page_is_sound(path):
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    levels = [int(tag[1]) for tag, _ in page.of("h1", "h2", "h3", "h4", "h5", "h6")]
    ids = Counter(attrs["id"] for _, attrs in page.elements if "id" in attrs)
    links = [attrs["href"] for _, attrs in page.of("a")]
    assert page.wrong == [] and len(page.of("title")) == len(page.of("main")) == 1
    assert [i for i, n in ids.items() if n > 1] == []
    assert levels[0] == 1 and levels.count(1) == 1 and all(b <= a + 1 for a, b in zip(levels, levels[1:]))
    assert [attrs for _, attrs in page.of("img") if len(attrs.get("alt") or "") < 10] == []
    assert [link for link in links if link.startswith("#") and link[1:] not in ids] == []
    assert path.stat().st_size <= 500_000


@every_page
def test_pages_lead_to_each_other(path):
    page = Page(path.read_text(encoding="utf-8"))
    links = {attrs["href"].partition("#")[0] for _, attrs in page.of("a")}
    inside = {link for link in links if link and not link.startswith("http")}
    assert [link for link in inside if not (REPORTS / link).exists()] == []
    others = {p.name for p in PAGES} - {path.name}
    assert others <= links if path.stem == "index" else {"index.html"} < links | {path.name}


DARK = [p for p in PAGES if p.stem in ("index", "26_evaluate", "29_model_card")]  # one style sheet for all


@pytest.mark.parametrize("path, scheme", [(p, "light") for p in PAGES] + [(p, "dark") for p in DARK], ids=lambda v: getattr(v, "stem", v))
def test_a_page_fits_and_everybody_can_read_it(chromium, path, scheme):
    "In a wide and in a narrow window, folds open: nothing is cut at the right, and axe-core finds nothing serious."
    axe = need(AXE.exists(), "axe-core") and AXE.read_text(encoding="utf-8")
    context = chromium.new_context(bypass_csp=True, color_scheme=scheme)
    page = context.new_page()
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = !d.querySelector('.highlight'))")
    for size in WIDTHS.values():
        page.set_viewport_size(size)
        cut = page.evaluate("""() => [...document.querySelectorAll('table, tr, td, th, p, li, h1, h2, h3, pre, summary')].filter(e =>
            e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !e.closest('.figure')).map(e => e.textContent.slice(0, 80))""")
        assert cut == [], size
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, size
        faults = page.evaluate(f"async () => {{ {axe}; return (await axe.run()).violations }}")
        assert [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in faults if v["impact"] in ("serious", "critical")] == []
    context.close()


@every_text
def test_no_interval_has_no_width(path):
    "0.780 (0.780–0.780) says that something is certain that is not."
    ends = re.findall(r"\(([+-]?\d[\d.,]*)(?: ?%)?(?:–| to )([+-]?\d[\d.,]*)(?: ?%)?\)", path.read_text(encoding="utf-8"))
    assert [pair for pair in ends if pair[0] == pair[1] and pair[0] not in ("0", "1")] == []


@every_text
def test_invented_campaigns_prove_nothing(path):
    text = path.read_text(encoding="utf-8")
    if "**Synthetic data**" in text or path.stem == "model_card":
        findings = text.partition("## Findings")[2].partition("\n## ")[0] or text
        assert not re.search(r"\*\*AUC|is (not )?met\*\*|\*\*(Yes|No)\.\*\*", findings)


@every_text
def test_main_tables_are_narrow(path):
    "Six columns at most, where a table is not folded."
    lines = re.sub(r"(?s)<details>.*?</details>", "", path.read_text(encoding="utf-8")).splitlines()
    heads = [head for head, below in zip(lines, lines[1:]) if re.fullmatch(r"[|: -]+", below) and "---" in below]
    wide = [head for head in heads if len(re.findall(r"(?<!\\)\|", head)) - 1 > 6]
    assert wide == []


@every_text
def test_a_calibration_error_has_enough_campaigns(path):
    "A column of calibration errors beside one of campaigns: where its bins would hold too few, a dash."
    lines, columns = path.read_text(encoding="utf-8").splitlines(), []
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            columns = []
        elif not columns:
            columns = cells
        else:
            n = next((cells[i] for i, c in enumerate(columns) if c in ("n", "campaigns (n)")), "").replace(",", "")
            error = next((cells[i] for i, c in enumerate(columns) if c.startswith("calibration error")), "–")
            assert not n.isdigit() or int(n) >= BINS * MIN_BIN or error == "–", line


OURS = """odd cells; artefact cells; protocol [a-f]\\b; spared folds; came true; noise.floor; published source; shrunk rates; table of leaks; overreach; twins; redrawn; AUC alone;
hopeless; signs of life; kept_rejects; amiss; mended; cry wolf; alarm line; Against the bars; leans on; For whom it works; Would more campaigns help; to the last byte; off_simulated; knocks"""


@every_text
def test_reports_speak_the_fields_own_language(path):
    text = path.read_text(encoding="utf-8")
    assert [word for word in (w.strip() for w in OURS.split(";")) if re.search(rf"\b{word}", text)] == []
