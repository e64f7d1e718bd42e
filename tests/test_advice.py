"The form's advice: what it suggests, shows and promises agrees with what it answers; what is stored can be declined, seen and deleted; Chromium by keyboard and by pointer."
import json
import re
import shutil
import sqlite3
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.browser import SHOTS, TEXTS, WIDTHS, get, need, served
from support.project import ROOT
from test_form import CAMPAIGN, accessible, chance, field, filled, opened, settled, until
from test_record import query

from kickstarter_predictor.advice import FARTHEST_LAUNCH, FEWEST, packaged_similar, whole_percent
from kickstarter_predictor.form import Form, answer, check, choices
from kickstarter_predictor.models import PACKAGED, load_predictor
from kickstarter_predictor.record import Recorder

ADA, BEN = "a" * 32, "b" * 32
SOON = date.today() + timedelta(days=20)
TYPED = {
    "name": CAMPAIGN["Name"], "blurb": CAMPAIGN["Blurb"], "goal": "20,000", "currency": "USD", "days": "45", "parent": "Games", "category": "Tabletop Games", "country": "US",
    "video": None, "launch": SOON.isoformat(), "created": "", "earlier_campaigns": "", "earlier_successes": "", "staff_pick": None, "link": "",
}  # fmt: skip
OTHERS = [
    {}, {"goal": "4,321", "days": "7"}, {"goal": "1"}, {"goal": "1,000,000,000"}, {"currency": "EUR", "country": "DE", "goal": "12.500,50"}, {"parent": "Technology", "category": "Apps", "video": False}, {"video": True},
    {"parent": "Food", "category": "", "blurb": "", "days": "60"}, {"parent": "Theater", "category": "Plays", "earlier_campaigns": "3", "earlier_successes": "2"}, {"currency": "JPY", "country": "JP", "goal": "990000"},
    {"launch": date.today().isoformat(), "days": "1"}, {"launch": (date.today() + FARTHEST_LAUNCH).isoformat()}, {"name": "מגדלור: משחק קלפים", "blurb": "سفينة في الضباب"},
]  # fmt: skip


@pytest.fixture(scope="module")
def packaged():
    return load_predictor("packaged")


def answered(fields, packaged):
    values, errors = check(fields, choices(packaged.about))
    assert errors == {}
    return answer(values, packaged)[0]


def day(text: str) -> date:
    return date.fromisoformat(text)


@pytest.mark.parametrize("change", OTHERS, ids=str)
def test_a_suggestion_keeps_its_promise(change, packaged):
    fields = TYPED | change
    now = answered(fields, packaged)
    points = [s["points"] for s in now["suggestions"]]
    assert len(points) <= 3 and points == sorted(points, reverse=True) and all(p >= 1 for p in points)
    for s in now["suggestions"]:
        then = answered(fields | s["values"], packaged)
        assert whole_percent(then["probability"]) == s["to"] == whole_percent(now["probability"]) + s["points"], s["text"]
        assert s["values"].keys() <= {"goal", "days", "launch", "video"} and len(s["values"]) == 1, "never the past, never the category"
        assert day(s["values"].get("launch", fields["launch"])) >= day(fields["launch"])


def test_nothing_is_suggested_for_what_has_begun(packaged):
    assert answered(TYPED | {"launch": (date.today() - timedelta(days=1)).isoformat()}, packaged)["suggestions"] == []


@pytest.mark.parametrize("times, is_beyond", [(0.999, False), (1.01, True), (1.4, True), (3, True)])
def test_no_other_goal_is_suggested_beyond_what_the_model_knows(times, is_beyond, packaged):
    shown = answered(TYPED | {"goal": f"{times * packaged.about.largest_goals['Games']:.0f}"}, packaged)
    assert bool(shown["beyond"]) == is_beyond and shown["beyond"] not in shown["notes"]
    assert not (is_beyond and any("goal" in s["values"] for s in shown["suggestions"]))


@pytest.mark.parametrize("days", [-1, 0, 1])
def test_the_day_is_the_visitors(days, packaged, tmp_path):
    "East or west of Greenwich it may be another; a day that is nowhere now is not believed."
    form, today = Form(packaged, Recorder(f"sqlite:///{tmp_path}/none.sqlite", enabled=False)), date.today() + timedelta(days=days)
    request = {"seq": 1, "visitor": ADA, "predict": True, "fields": TYPED | {"launch": today.isoformat(), "created": today.isoformat()}}
    form.set_state({"request": request | {"today": today.isoformat()}})
    assert form.answer["suggestions"] and not form.answer["errors"]
    form.set_state({"request": request | {"seq": 2, "today": (today + timedelta(days=9)).isoformat()}})
    assert bool(form.answer["errors"].get("created")) == (days > 0)


@pytest.mark.parametrize("goal", ["20,000", "12,345.67"])
def test_a_curve_shows_what_the_form_answers(goal, packaged):
    "At 50 points, whether the goal typed is a round one or not; and reasons add up to it."
    curves = answered(TYPED | {"goal": goal}, packaged)["curves"]
    points = [("goal", f"{v:.15g}", p) for v, p in zip(curves["goal"]["values"], curves["goal"]["p"])] + [("days", f"{v:.0f}", p) for v, p in zip(curves["days"]["values"], curves["days"]["p"])]
    for key, text, p in points[:: max(1, len(points) // 25)][:25]:
        then = answered(TYPED | {"goal": goal} | {key: text}, packaged)
        assert then["probability"] == p == then["curves"][key]["p_now"], (key, text)
        assert then["from"] + sum(r["points"] for r in then["reasons"]) == then["to"] == whole_percent(p)


@pytest.mark.parametrize("text", [t for t in TEXTS if t.strip("\0 \ufeff\u200b") and len(t) < 60], ids=lambda t: ascii(t)[:30])
def test_marks_are_the_text_as_typed(text, packaged):
    fields = TYPED | {"name": f"A card game {text}"[:60]}
    values = check(fields, choices(packaged.about))[0]
    assert "".join(piece for piece, _ in answered(fields, packaged)["marks"]["name"]) == values["name"]


def test_what_ships_reveals_nobody():
    cells = [(n, p) for s in packaged_similar().values() for n, p in [*filter(None, s["bands"]), *(year[1:] for year in s["years"])]]
    assert len(cells) > 500 and all(n >= FEWEST and n % 10 == 0 and 0 <= p <= 100 and type(p) is int for n, p in cells)
    size = sum(p.stat().st_size for folder in (PACKAGED, ROOT / "kickstarter_predictor" / "page") for p in folder.iterdir())
    assert size < 3_000_000


# ---- what is stored
def request(seq, visitor=ADA, **more):
    return {"request": {"seq": seq, "visitor": visitor, "predict": True, "keep": True, "store": True, "forget": None, "fields": TYPED} | more}


def names(uri) -> list:
    return [name for (name,) in query(uri, "SELECT name FROM campaigns ORDER BY name")]


@pytest.fixture
def form(uri, packaged, recording, tmp_path):
    form = Form(packaged, Recorder(uri, spool=tmp_path / "spool", wait=15))
    yield form
    form.kept.recorder.close(0)


def test_who_declines_is_not_stored(uri, form, tmp_path):
    form.set_state(request(1, store=False))
    assert form.answer["probability"] and form.history["rows"] == [] and form.history["stores"]
    form.set_state(request(2, store=False, forget="all"))
    assert form.answer["seq"] == 2 and names(uri) == []
    files = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert b"Lanterns" not in files and ADA.encode() not in files


def test_only_ones_own_is_deleted(uri, form, tmp_path):
    for seq, (visitor, name) in enumerate([(ADA, "Ada 1"), (ADA, "Ada 2"), (BEN, "Ben 1"), (BEN, "Ben 2")]):
        form.set_state(request(seq, visitor, fields=TYPED | {"name": name}))
    bens = [r["id"] for r in form.history["rows"]]
    assert names(uri) == ["Ada 1", "Ada 2", "Ben 1", "Ben 2"] and len(bens) == 2
    for forged in (bens[0], "*", "", "' OR 1=1", None, 5, ["all"], bens[0].upper()):
        form.set_state(request(10, ADA, keep=False, forget=forged))
    assert len(names(uri)) == 4, "another's id deletes nothing"
    [newest, oldest] = form.history["rows"]
    form.set_state(request(11, ADA, keep=False, forget=newest["id"]))
    assert names(uri) == ["Ada 1", "Ben 1", "Ben 2"] and [r["id"] for r in form.history["rows"]] == [oldest["id"]]
    form.set_state(request(12, ADA, keep=False, predict=False, forget="all"))
    assert names(uri) == ["Ben 1", "Ben 2"] and form.history["rows"] == []
    form.set_state(request(13, BEN, keep=False, forget="all"))
    assert names(uri) == [] and form.history["note"] is None
    files = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert b"Ben 1" not in files and b"Ada 2" not in files


def test_what_cannot_be_deleted_is_said(packaged, recording, tmp_path):
    place = tmp_path / "place"
    place.write_text("in the way", encoding="utf-8")
    form = Form(packaged, Recorder(f"sqlite:///{place}/x.sqlite", wait=0.1))
    form.set_state(request(1))
    form.set_state(request(2, keep=False, forget="all"))
    assert "cannot be deleted" in form.history["note"] and form.answer["probability"]
    form.kept.recorder.close(0)


# ---- Chromium
SIZES = {"phone": (320, 640), "zoomed": (640, 400), "screen": (2560, 1300)}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "(address of the page, its database's file)."
    need(shutil.which("chromium"), "Chromium")
    file = tmp_path_factory.mktemp("requests") / "requests.sqlite"
    with served("--pool", "2", env={"SQLALCHEMY_DATABASE_URI": f"sqlite:///{file}", "KICKSTARTER_RECORD": "on"}) as url:
        yield url, file


@pytest.fixture(scope="module")
def page(chromium, place):
    page = opened(chromium, place[0])
    page.width = "wide"
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield page
    assert page.faults == []
    page.close()


def stored(file: Path) -> int:
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        return connection.execute("SELECT COUNT(*) FROM campaigns").fetchone()[0]


def improvable(page):
    filled(page, Goal="40,000", Days="57", **{"Project begun": ""})
    page.get_by_role("group", name="Video").get_by_text("No", exact=True).click()
    settled(page)
    return chance(page)


def test_a_page_of_small_weight(place):
    pages = [get(place[0] + path)[2] for path in ("", "page/form.js", "page/form.css", "page/page.js", "page/favicon.svg")]
    assert sum(len(text.encode()) for text in pages) <= 80_000
    assert not re.search(r"(src|href)=.?https?:", pages[0])
    card = get(place[0] + "card")
    assert card[0] == 200 and "Model card" in card[2] and "<style" not in card[2] and "style=" not in card[2]


@pytest.mark.parametrize("by", ["pointer", "keyboard"])
def test_a_click_tries_a_suggestion_and_one_undoes_it(page, by):
    now = improvable(page)
    buttons = page.locator(".kp-try")
    press = lambda locator: locator.click() if by == "pointer" else (locator.focus(), page.keyboard.press("Enter"))
    for i in range(buttons.count()):
        gain, then = int(buttons.nth(i).locator("b").inner_text()), int(re.search(r"then (\d+)", buttons.nth(i).inner_text())[1])
        press(buttons.nth(i))
        settled(page)
        assert chance(page) == then == now + gain >= now + 1
        if by == "keyboard":
            assert page.evaluate("document.activeElement.textContent") == "Undo", "the focus is where the next key is of use"
        press(page.get_by_role("button", name="Undo"))
        settled(page)
        assert chance(page) == now and page.locator(".kp-tried").count() == 0
    assert "correlation is no promise" in page.locator(".kp-could").inner_text()


def test_what_is_typed_over_a_change_is_not_undone(page):
    improvable(page)
    page.locator(".kp-try").first.click()
    settled(page)
    assert page.locator(".kp-tried").count() == 1
    for label, value in {"Goal": "41,000", "Days": "56", "Launch date": (date.today() + timedelta(days=44)).isoformat()}.items():
        field(page, label).fill(value)
    page.get_by_role("group", name="Video").get_by_text("Not sure").click()
    settled(page)
    assert page.locator(".kp-tried").count() == 0 and field(page, "Goal").input_value() == "41,000"


def read(plot):
    "(value, percent) that a curve tells."
    value, p = plot.get_attribute("aria-valuetext").split(": ")
    return value.split()[0].replace("$", ""), int(p.split()[0])


def test_a_curve_is_read_and_tried_by_keyboard(page):
    before = improvable(page)
    goal, days = page.locator(".kp-plot").all()
    for plot, label, keys in ((goal, "Goal", ["ArrowLeft"] * 3), (days, "Days", ["Home", "PageUp", "ArrowRight"])):
        plot.focus()
        for key in keys:
            page.keyboard.press(key)
        value, p = read(plot)
        page.keyboard.press("Enter")
        settled(page)
        assert (field(page, label).input_value(), chance(page)) == (value, p)
        assert plot.evaluate("e => e === document.activeElement") and "(now)" in plot.get_attribute("aria-valuetext")
        page.keyboard.press("End")
        page.keyboard.press("Escape")
        assert "(now)" in plot.get_attribute("aria-valuetext")
    for _ in range(2):
        page.get_by_role("button", name="Undo").click()
        settled(page)
    assert chance(page) == before


def test_a_curve_is_read_and_tried_by_pointer(page):
    improvable(page)
    for plot, label in zip(page.locator(".kp-plot").all(), ("Goal", "Days")):
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        x = lambda fraction: box["x"] + fraction * box["width"]
        page.mouse.move(x(0.4), box["y"] + 40)
        hovered = read(plot)
        page.mouse.down()
        page.mouse.move(x(0.6), box["y"] + 60, steps=4)
        dragged = read(plot)
        page.mouse.up()
        settled(page)
        assert hovered != dragged and (field(page, label).input_value(), chance(page)) == dragged


def test_an_impossible_and_a_sure_campaign_look_it(page):
    improvable(page)
    color = "getComputedStyle(document.querySelector('.kp-number')).color"
    likely = page.evaluate(color)
    field(page, "Goal").fill("900,000,000")
    settled(page)
    assert page.locator(".kp-answer").get_attribute("data-level") == "low" and page.evaluate(color) != likely
    assert page.locator(".kp-filled").count() == 0


def test_labels_of_the_scale_stand_where_they_belong(page):
    improvable(page)
    off = page.evaluate("""() => { const t = document.querySelector('.kp-bar .kp-track').getBoundingClientRect();
      return [...document.querySelectorAll('.kp-scale span')].slice(1, -1).map((s, i) => { const r = s.getBoundingClientRect(); return (r.left + r.width / 2 - t.left) / t.width * 100 - 25 * (i + 1); }); }""")
    assert len(off) == 3 and all(abs(x) < 0.5 for x in off)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_width_in_both_themes(page, theme):
    improvable(page)
    grounds = set()
    for name, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        SHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SHOTS / f"advice-{name}-{theme}.png", full_page=True)
        accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        grounds.add(page.evaluate("getComputedStyle(document.querySelector('.kp-form')).backgroundColor"))
        assert page.evaluate("getComputedStyle(document.querySelector('.kp-dot')).transitionDuration") == "0s"
    page.set_viewport_size({"width": 320, "height": 640})
    for box in page.locator(".kp-form").locator("input:visible:not([type=radio]), select:visible, textarea:visible, .kp-main").all():
        page.evaluate("scrollTo(0, 0)")
        box.focus()
        page.wait_for_timeout(30)
        covered = page.evaluate("""() => { const s = document.querySelector('.kp-summary'), a = document.activeElement.getBoundingClientRect(), b = s.getBoundingClientRect();
          return !s.hidden && b.height > 0 && a.bottom > b.top && a.top < b.bottom; }""")
        assert not covered, box.get_attribute("id")
    page.set_viewport_size(WIDTHS["wide"])
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    assert len(grounds) == 1
    (ground,) = grounds
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) == (theme == "dark")


def test_the_widget_follows_the_theme_of_jupyterlab(page):
    ground = "getComputedStyle(document.querySelector('.kp-form')).backgroundColor"
    page.evaluate("document.body.classList.remove('kp-page')")
    seen = {theme: page.evaluate(f"document.body.dataset.jpThemeLight = '{str(theme == 'light').lower()}', {ground}") for theme in ("light", "dark")}
    page.evaluate("document.body.classList.add('kp-page'), delete document.body.dataset.jpThemeLight")
    assert seen == {"light": page.evaluate(ground), "dark": "rgb(24, 33, 38)"}


def test_a_name_from_right_to_left(page):
    improvable(page)
    field(page, "Name").fill("מגדלור: משחק קלפים")
    settled(page)
    directions = page.evaluate("[document.querySelector('.kp-name input'), document.querySelector('.kp-words p')].map(e => getComputedStyle(e).direction)")
    assert directions[0] == "rtl"


def test_a_subcategory_is_found_by_typing(page):
    page.get_by_role("button", name="Start over").click()
    field(page, "Subcategory").fill("tabletop games")
    assert field(page, "Category").input_value() == "Games"
    assert page.locator("datalist option").count() > 3
    field(page, "Name").fill("A lamp")
    field(page, "Goal").fill("$3,000")
    field(page, "Subcategory").fill("Tabletop")
    page.get_by_role("button", name="Show my chances").click()
    settled(page)
    assert "did you mean Tabletop Games?" in page.locator(".kp-category .kp-error").inner_text()
    field(page, "Currency").select_option("EUR")
    assert page.locator(".kp-sign").inner_text() == "€"


ROUND = """async (all) => { const { toFragment, fromFragment } = await import('/page/form.js'); return all.map((c) => [fromFragment('#' + toFragment(c)), toFragment(c)]); }"""


def odd_campaigns() -> list[dict]:
    "200 campaigns with whatever people and attackers type."
    texts = [t for t in TEXTS if len(t) < 500 and "\ud83d" not in t] + ["a&b=c#d?e+f%20", "100 %", "=&=", "#name=x", " lead and trail ", "\u2028", "+", "%"]
    keys = ["name", "blurb", "goal", "days", "parent", "category", "earlier_campaigns", "launch"]
    fields = {k: v for k, v in TYPED.items() if k != "link"}
    return [fields | {k: texts[(i * (j + 3) + j) % len(texts)] for j, k in enumerate(keys)} | {"video": [True, False, None][i % 3], "staff_pick": [None, True, False][i // 3 % 3]} for i in range(200)]


def test_a_link_carries_200_odd_campaigns(page):
    campaigns = odd_campaigns()
    for campaign, (back, text) in zip(campaigns, page.evaluate(ROUND, campaigns)):
        assert back == campaign and re.fullmatch(r"[\w.*%&=+-]*", text, re.ASCII)


def test_a_shared_link_tells_the_server_nothing_until_asked(page, chromium, place):
    before = improvable(page)
    page.get_by_role("button", name="Copy link").click()
    until(page, "document.querySelector('.kp-tools').innerText.includes('Copied')")
    link = page.evaluate("navigator.clipboard.readText()")
    other = chromium.new_page(locale="en-US", timezone_id="UTC")
    sent, rows = [], stored(place[1])
    other.on("request", lambda r: sent.append(r.url))
    other.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    other.goto(link)
    other.wait_for_selector(".kp-form")
    until(other, "document.querySelector('.kp').dataset.seq > 0")
    assert field(other, "Name").input_value() == CAMPAIGN["Name"] and field(other, "Subcategory").input_value() == "Tabletop Games"
    assert len(sent) > 4 and not any("Lanterns" in str(part) or "#" in str(part)[:200] and "name=" in str(part) for part in sent) and stored(place[1]) == rows
    assert "#" not in other.url, "a reload keeps what is typed from now on"
    other.get_by_role("button", name="Show my chances").click()
    other.wait_for_selector(".kp-number")
    assert chance(other) == before
    other.close()


def test_a_link_in_an_open_page_is_answered_anew(page):
    "With the defaults of what it leaves out, and no answer to what stood there before."
    improvable(page)
    page.evaluate("location.hash = '#name=Friend&goal=5&parent=Art'")
    page.wait_for_selector(".kp-number", state="detached")
    typed = {label: field(page, label).input_value() for label in ("Name", "Goal", "Days", "Category", "Country")}
    assert typed == {"Name": "Friend", "Goal": "5", "Days": "30", "Category": "Art", "Country": "US"}
    page.get_by_role("button", name="Show my chances").click()
    page.wait_for_selector(".kp-number")
    settled(page)
    assert page.locator(".kp-tried").count() == 0 and "Tabletop" not in page.locator(".kp-drawn").inner_text()


def test_before_the_button_only_fields_that_were_left_are_checked(chromium, place):
    other, sent = chromium.new_page(locale="en-US", timezone_id="UTC"), []
    other.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(str(frame))))
    other.goto(place[0])
    other.wait_for_selector(".kp-form")
    until(other, "document.querySelector('.kp').dataset.seq > 0")
    field(other, "Name").fill("Secret Lanterns")
    field(other, "Days").fill("99")
    field(other, "Goal").focus()
    until(other, "document.querySelector('.kp-days .kp-error').textContent !== ''")
    field(other, "Blurb").fill("A hidden sentence")
    other.wait_for_timeout(300)
    assert any("Secret Lanterns" in frame for frame in sent) and not any("hidden sentence" in frame or "country" in frame for frame in sent)
    other.close()


def test_the_draft_is_kept_until_start_over(page):
    improvable(page)
    page.reload()
    page.wait_for_selector(".kp-form")
    assert field(page, "Goal").input_value() == "40,000" and field(page, "Name").input_value() == CAMPAIGN["Name"]
    page.get_by_role("button", name="Start over").click()
    assert page.evaluate("localStorage.getItem('kickstarter-predictor-draft')") is None
    page.reload()
    page.wait_for_selector(".kp-form")
    assert field(page, "Name").input_value() == ""


def test_it_prints_on_one_page_and_is_kept_as_json(page):
    now = improvable(page)
    pdf = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1
    SHOTS.mkdir(exist_ok=True)
    (SHOTS / "advice.pdf").write_bytes(pdf)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as JSON").click()
    kept = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert whole_percent(kept["answer"]["probability"]) == now and kept["fields"]["name"] == CAMPAIGN["Name"]


def rows_of(page):
    return page.locator(".kp-requests > li")


def test_storing_is_declined_before_the_first_request(chromium, place):
    url, file = place
    page = opened(chromium, url)
    before = stored(file)
    page.get_by_label("Store each request").uncheck()
    filled(page)
    field(page, "Goal").fill("9000")
    settled(page)
    page.get_by_role("button", name="Show my chances").click()
    until(page, "document.querySelectorAll('.kp-requests > li').length === 2")
    assert "not stored" in rows_of(page).first.inner_text() and "Goal: $12,000 → $9,000" in rows_of(page).first.inner_text()
    page.reload()
    page.wait_for_selector(".kp-form")
    assert not page.get_by_label("Store each request").is_checked() and page.faults == [] and stored(file) == before
    page.close()


def test_ones_own_requests_are_deleted_from_the_page(page, chromium, place):
    url, file = place
    other = opened(chromium, url)
    filled(other)
    until(other, "document.querySelectorAll('.kp-requests > li').length === 1")
    improvable(page)
    until(page, "document.querySelectorAll('.kp-requests > li').length > 0")
    n, all_ = rows_of(page).count(), stored(file)
    rows_of(page).first.get_by_role("button", name="Delete").focus()
    page.keyboard.press("Enter")
    until(page, "n => document.querySelectorAll('.kp-requests > li').length === n", n - 1)
    assert stored(file) == all_ - 1 and page.evaluate("document.querySelector('.kp-history').contains(document.activeElement)")
    page.get_by_role("button", name="Delete all of mine").click()
    page.get_by_role("button", name="Really delete").click()
    until(page, "document.querySelectorAll('.kp-requests > li').length === 0")
    assert stored(file) >= 1
    other.reload()
    other.wait_for_selector(".kp-form")
    until(other, "document.querySelectorAll('.kp-requests > li').length === 1")
    assert other.faults == []
    other.close()
