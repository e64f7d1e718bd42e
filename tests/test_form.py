"The form as creators meet it: Chromium on what `make app` serves."
import json
import re
import shutil
import sys
import time
from datetime import date, timedelta

import pytest
from support.browser import AMOUNTS, AXE, DATES, LENGTHS, ODD, SHOTS, TEXTS, WIDTHS, get, jupyter, need, run, seat_of, served, talk, to_widget
from support.project import ROOT, call
from kickstarter_predictor.experiment import read_log

CAMPAIGN = {"Name": "Fog & Lanterns: a cooperative card game", "Blurb": "Guide your ship home through the fog: a card game for two to four players.", "Goal": "12,000", "Project begun": "2023-12-20"}


@pytest.fixture(scope="session")
def site():
    "`make app` itself."
    need(shutil.which("chromium"), "Chromium")
    with served(command=lambda port: ["make", "-s", "app", "HOST=127.0.0.1", f"PORT={port}"]) as url:
        yield url


def opened(chromium, site, width="wide", **options):
    "A page of a new visitor, with what went wrong on it in `page.faults`."
    page = chromium.new_page(viewport=WIDTHS[width], locale="en-US", timezone_id="UTC", **options)
    page.set_default_timeout(30_000)
    page.faults = []
    page.on("console", lambda m: m.type == "error" and page.faults.append(m.text))
    page.on("pageerror", lambda e: page.faults.append(str(e)))
    page.on("request", lambda r: r.url.startswith((site, site.replace("http", "ws"), "data:")) or page.faults.append(f"asks {r.url}"))
    page.goto(site)
    page.wait_for_selector(".kp-form")
    return page


@pytest.fixture(scope="session", params=WIDTHS)
def width(request):
    return request.param


@pytest.fixture(scope="session")
def page(chromium, site, width):
    "One visitor at each width, in all tests: as it is in life."
    page = opened(chromium, site, width)
    page.width = width
    yield page
    assert page.faults == []
    page.close()


def field(page, label):
    return page.get_by_label(label, exact=True)


def until(page, script, *argument):
    "Wait for `script` to be true; Playwright's own way needs `eval`, which the page's policy forbids."
    end = time.monotonic() + 30
    while not page.evaluate(script, *argument):
        assert time.monotonic() < end, script
        page.wait_for_timeout(20)


def settled(page):
    "Wait until what was typed last has been answered."
    page.wait_for_timeout(80)
    until(page, "(({ seq, sent }) => seq === sent)(document.querySelector('.kp').dataset)")


def filled(page, **other):
    page.get_by_role("button", name="Start over").click()
    for label, value in {**CAMPAIGN, **other}.items():
        field(page, label).fill(value)
    field(page, "Category").select_option("Games")
    field(page, "Subcategory").fill("Tabletop Games")
    page.get_by_role("group", name="Video").get_by_text("Yes").click()
    page.get_by_role("button", name="Show my chances").click()
    page.wait_for_selector(".kp-number")
    settled(page)
    return chance(page)


def chance(page):
    return int(page.locator(".kp-number").inner_text().split()[0].rstrip("%"))


def picture(page, name):
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}-{page.width}.png", full_page=True)


def accessible(page):
    "No fault of any impact by axe-core."
    page.wait_for_timeout(250)  # a bar may still be moving
    found = page.evaluate(f"async () => {{ {need(AXE.exists(), 'axe-core') and AXE.read_text(encoding='utf-8')}; return (await axe.run()).violations }}")
    assert [(v["id"], n["html"][:150], n["failureSummary"]) for v in found for n in v["nodes"]] == []


def test_empty(page):
    assert page.title() == "Kickstarter Predictor: will your campaign reach its goal?" and page.locator("link[rel=icon]").count() == 1
    assert field(page, "Days").input_value() == "30" and page.locator(".kp-number").count() == 0
    picture(page, "empty")
    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[page.width]["width"]
    if page.width == "wide":
        assert page.locator(".kp-columns").bounding_box()["y"] + page.locator(".kp-columns").bounding_box()["height"] <= 800


def test_every_field_has_label_and_hint(page):
    for box in page.locator(".kp-form").locator("input:not([type=radio]), select, textarea").all():
        described = box.get_attribute("aria-describedby").split()
        assert box.evaluate("e => e.labels.length") == 1 and page.locator(f"#{described[0]}").text_content()
    assert page.locator("fieldset legend").count() == 2 and page.locator("fieldset .kp-hint").count() == 2


def test_fill_predict_and_change_the_goal(page):
    before = filled(page)
    picture(page, "filled")
    accessible(page)
    text = page.locator(".kp-answer").inner_text()
    assert "Base rate" in text and "What moves it" in text and "AUC" in text and "9 of 10 models" in text and "Not affiliated with Kickstarter" in text
    points = [int(p.replace("−", "-")) for p in page.locator(".kp-points").all_inner_texts()]
    told = next(n for n, word in enumerate("hardly one two three four five six seven eight nine nearly".split()) if re.search(rf"about {word}\b|, {word} ", page.locator(".kp-meaning b").inner_text()))
    assert (page.locator(".kp-filled").count(), page.locator(".kp-ten svg").count()) == (told, 10)
    largest = [abs(p) for p in points[:-1]]  # the last may be everything else
    assert largest == sorted(largest, reverse=True) and points
    start = int(page.locator(".kp-start").inner_text().split()[-4])
    assert start + sum(points) == before and page.locator(".kp-sum").inner_text().endswith(f"= {before} of 100 campaigns like this.")
    curves = page.locator(".kp-curve svg")
    assert curves.count() == 2 and f"{before} % at $12,000 (now)" in curves.first.get_attribute("aria-label")
    field(page, "Goal").fill("900000")
    settled(page)
    assert chance(page) < before and "$900,000 (now)" in curves.first.get_attribute("aria-label")
    field(page, "Goal").fill("12000")
    settled(page)
    assert chance(page) == before
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[page.width]["width"]
    if page.width == "wide":
        boxes = [page.locator(part).bounding_box() for part in (".kp-number", ".kp-reasons", ".kp-suggestions", ".kp-main")]
        assert max(box["y"] + box["height"] for box in boxes) <= 800, "one screen"


def test_errors_stand_beside_their_fields(page):
    filled(page)
    later = (date.today() + timedelta(days=400)).isoformat()
    for label, value in {"Name": "x" * 75, "Blurb": "y" * 140, "Goal": "12.000", "Days": "61", "Project begun": later}.items():
        field(page, label).fill(value)
    field(page, "Category").select_option("")
    settled(page)
    assert page.locator(".kp-number").count() == 0 and field(page, "Name").get_attribute("aria-invalid") == "true"
    said = {f: page.locator(f".kp-{f} .kp-error").inner_text() for f in ("name", "blurb", "goal", "days", "parent", "created")}
    assert "15" in said["name"] and "5" in said["blurb"] and "1 to 60" in said["days"] and all(said.values())
    assert page.locator(".kp-name .kp-count").inner_text() == "75 / 60" and "6 fields" in page.locator(".kp-status").inner_text()
    picture(page, "errors")
    accessible(page)
    page.get_by_role("button", name="Show my chances").click()
    settled(page)
    assert page.evaluate("document.activeElement.id").endswith("-name"), "the first wrong field has the focus"


def test_back_to_an_earlier_request(page):
    before = filled(page)
    field(page, "Goal").fill("250000")
    settled(page)
    page.get_by_role("button", name="Show my chances").click()
    until(page, "document.querySelector('.kp-history').innerText.includes('$250,000')")
    picture(page, "history")
    accessible(page)
    page.get_by_text("$12,000 · 30 days").first.locator("xpath=ancestor::li").get_by_role("button", name="Back to").click()
    settled(page)
    assert field(page, "Goal").input_value() == "12000" and chance(page) == before and field(page, "Project begun").input_value() == "2023-12-20"
    assert field(page, "Subcategory").input_value() == "Tabletop Games"
    assert "random id" in page.locator(".kp-stored").text_content()


DRAFT = "https://www.kickstarter.com/projects/ada/fog-and-lanterns"


def test_a_link_is_kept_with_the_try(page):
    "Folded until it is wanted; wrong ones are said beside it, what follows the project's name is not kept, and an earlier request brings it back."
    filled(page)
    box, error = field(page, "Link to your draft or project"), page.locator(".kp-link .kp-error")
    assert not box.is_visible()
    page.get_by_text("Link to your project").click()
    box.fill("https://www.indiegogo.com/projects/fog")
    settled(page)
    box.blur()
    settled(page)
    assert "kickstarter.com/projects/" in error.inner_text() and box.get_attribute("aria-invalid") == "true" and page.locator(".kp-number").count() == 0
    picture(page, "link-error")
    accessible(page)
    box.fill(f"{DRAFT}/description?ref=8x&token=5d1f")
    settled(page)
    assert error.inner_text() == "" and page.locator(".kp-number").count() == 1
    field(page, "Goal").fill("77777")
    settled(page)
    page.get_by_role("button", name="Show my chances").click()
    until(page, "document.querySelector('.kp-history').innerText.includes('$77,777')")
    picture(page, "link")
    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[page.width]["width"]
    page.get_by_role("button", name="Start over").click()
    assert box.input_value() == ""
    page.get_by_text("$77,777 · 30 days").first.locator("xpath=ancestor::li").get_by_role("button", name="Back to").click()
    settled(page)
    assert box.input_value() == DRAFT and box.is_visible() and page.locator(".kp-number").count() == 1
    assert "address of its page" in page.locator(".kp-stored").text_content()


BEFORE, REACHED = "Your earlier Kickstarter campaigns", "… that reached their goal"


def test_the_creators_past_counts_and_is_kept(page):
    "Empty is not given; more successes than campaigns is said at the field; an earlier request brings both back."
    filled(page)
    before, reached, error = field(page, BEFORE), field(page, REACHED), page.locator(".kp-earlier_successes .kp-error")
    assert before.input_value() == reached.input_value() == ""
    before.fill("3")
    reached.fill("4")
    settled(page)
    assert error.inner_text() == "That is more than your 3 earlier campaigns."
    assert reached.get_attribute("aria-invalid") == "true" and page.locator(".kp-number").count() == 0
    picture(page, "past-error")
    accessible(page)
    before.fill("")
    reached.fill("1")
    settled(page)
    assert "how many campaigns" in error.inner_text()
    before.fill("5")
    reached.fill("4")
    field(page, "Goal").fill("66666")
    settled(page)
    assert error.inner_text() == "" and page.locator(".kp-number").count() == 1
    page.get_by_role("button", name="Show my chances").click()
    until(page, "document.querySelector('.kp-history').innerText.includes('$66,666')")
    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[page.width]["width"]
    page.get_by_role("button", name="Start over").click()
    assert before.input_value() == reached.input_value() == ""
    page.get_by_text("$66,666 · 30 days").first.locator("xpath=ancestor::li").get_by_role("button", name="Back to").click()
    settled(page)
    assert (before.input_value(), reached.input_value()) == ("5", "4") and page.locator(".kp-number").count() == 1


def test_works_by_keyboard(page):
    page.get_by_role("button", name="Start over").click()
    page.keyboard.type("A lamp")
    seen = []
    for _ in range(18):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    inputs = ("goal", "days", "parent", "earlier_campaigns", "earlier_successes")
    assert [key for s in seen if (key := s.split("-")[-1]) in inputs] == [*inputs]
    field(page, "Goal").focus()
    page.keyboard.type("3000")
    field(page, "Category").focus()
    page.keyboard.type("Tech")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".kp-number")


def test_a_reload_keeps_what_was_typed(page):
    filled(page)
    page.reload()
    page.wait_for_selector(".kp-form")
    assert field(page, "Name").input_value() == CAMPAIGN["Name"] and field(page, "Subcategory").input_value() == "Tabletop Games"
    until(page, "document.querySelectorAll('.kp-history li').length > 0")


LINKS = [text for text in TEXTS if text.strip("\0 \ufeff")] + [
    "javascript:alert(1)//https://www.kickstarter.com/projects/a/b", "data:text/html,<script>window.hit=1</script>", "http://www.kickstarter.com/projects/a/b", "https://kickstarter.com.evil.example/projects/a/b",
    "https://www.kickstarter.com@evil.example/projects/a/b", "https://evil.example/?https://www.kickstarter.com/projects/a/b", "https://www.kickstarter.com/projects/a/b?\"><img src=x onerror=window.hit=1>",
    "https://www.kickstarter.com/projects/a/b\u202e", "https://www.k\u0456ckstarter.com/projects/a/b", "https://www.kickstarter.com/projects/a/" + "b" * 500, "https://www.kickstarter.com/profile/ada", "//www.kickstarter.com/projects/a/b",
]  # fmt: skip
SETTERS = {
    "Name": TEXTS, "Blurb": TEXTS[:6], "Goal": AMOUNTS, "Days": LENGTHS, "Your earlier Kickstarter campaigns": [n for n in LENGTHS if n not in ("", "0", "61")] + ["1001"],
}  # fmt: skip
PUT = """([id, value]) => { const e = document.getElementById(id); e.type = e.tagName === 'TEXTAREA' ? e.type : 'text'; e.value = value; e.dispatchEvent(new Event('input', { bubbles: true })); }"""


@pytest.fixture(scope="session")
def hostile(chromium, site):
    page = opened(chromium, site)
    page.width = "wide"
    filled(page)
    yield page
    page.close()


@pytest.mark.parametrize("label,value", [(k, v) for k, all_ in {**SETTERS, "Launch date": DATES, "Project begun": DATES[1:], "Link to your draft or project": LINKS}.items() for v in all_], ids=lambda v: ascii(v)[:40])
def test_hostile_input_gets_an_answer_or_an_error(hostile, label, value):
    box = field(hostile, label)
    name, kept = box.get_attribute("id"), {"Name": "A lamp", "Blurb": "", "Goal": "5000", "Days": "30", "Launch date": date.today().isoformat(), "Project begun": "", "Your earlier Kickstarter campaigns": "", "Link to your draft or project": ""}[label]
    hostile.evaluate(PUT, [name, value])
    settled(hostile)
    error = hostile.locator(f"#{name}-error").inner_text()
    shown = hostile.locator(".kp-number").count()
    hostile.evaluate(PUT, [name, kept])
    settled(hostile)
    assert bool(error) != bool(shown), "an answer or an error"
    assert label in ("Name", "Blurb") or error, "there is no right one among them"
    assert hostile.evaluate("window.hit === undefined") and hostile.faults == []
    assert hostile.locator(".kp-number").count() == 1, "page and kernel are alive"


@pytest.mark.parametrize("text", TEXTS[:6])
def test_markup_is_text_everywhere(hostile, text):
    field(hostile, "Name").fill(text)
    settled(hostile)
    hostile.get_by_role("button", name="Show my chances").click()
    until(hostile, "t => document.querySelector('.kp-history li strong').textContent === t", text)
    assert hostile.evaluate("window.hit") is None and hostile.locator(".kp img, .kp script").count() == 0
    field(hostile, "Name").fill("A lamp")


# What a browser of ours would not do: straight to the server.
def test_nothing_else_is_served(site):
    for path in (
        "api/kernels", "api/contents", "api/sessions", "api/kernelspecs", "api/terminals", "api/status", "api", "voila/files/app.ipynb", "voila/static/", "voila/templates/", "voila/render/app.ipynb", "voila/tree", "tree", "lab",
        "app.ipynb", "page/", "page/app.ipynb", "page/index.html.j2", "page/../app.py", "page/..%2fapp.py", "page/%2e%2e/form.py", "static/", "files/", "login", "logout", "voila/api/shutdown/x", "voila/labextensions/", ".git/config", "metrics", "nbconvert", "view/app.ipynb",
    ):  # fmt: skip
        code, headers, text = get(site + path)
        assert code == 404 and "There is no such page" in text and "Traceback" not in text, path
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert get(site, method)[0] in (403, 405), method


def test_headers_and_no_sources(site):
    for path in ("", "page/form.js", "page/form.css", "page/page.js", "page/favicon.svg", "health", "card"):
        code, headers, text = get(site + path)
        assert code == 200 and headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY" and headers["Referrer-Policy"] == "no-referrer"
        assert "Set-Cookie" not in headers and "unsafe" not in headers["Content-Security-Policy"] and "ornado" not in headers["Server"]
    page = get(site)[2]
    assert "import Form" not in page and "/home" not in page and str(ROOT) not in page and "sqlite" not in page
    assert get(site, "HEAD")[0] == 200


@pytest.fixture(scope="session")
def seat(site):
    "(kernel, model) of one visitor whose browser is not ours."
    return seat_of(get(site)[2])


def test_a_browser_cannot_execute_code(site, seat, tmp_path):
    code = f"open({str(tmp_path / 'hit')!r}, 'w')"
    execute = {"code": code, "silent": False, "store_history": False, "user_expressions": {"a": code}, "allow_stdin": False}
    refused = [
        jupyter("execute_request", execute), jupyter("execute_request", execute, "control"), jupyter("complete_request", {"code": code, "cursor_pos": 1}), jupyter("inspect_request", {"code": code, "cursor_pos": 1}),
        jupyter("debug_request", {"command": "evaluate", "arguments": {"expression": code}}, "control"), jupyter("input_reply", {"value": code}, "stdin"), jupyter("shutdown_request", {}, "control"),
        jupyter("comm_open", {"comm_id": "x", "target_name": "jupyter.widget", "data": {"state": {"_model_name": "OutputModel", "_model_module": "@jupyter-widgets/output"}}}),
        jupyter("comm_open", {"comm_id": "x", "target_name": "jupyter.widget.control", "data": {}}), to_widget({"method": "custom", "content": {"kind": "anywidget-command", "name": "x"}}),
        to_widget({"method": "update", "state": {"_esm": code}, "buffer_paths": []}), to_widget({"method": "update", "state": {"request": {}}, "buffer_paths": [["request", "a"]]}),
        b"\x01\x00\x00\x00binary", "not json", "[" * 5000, "x" * 70_000, json.dumps(jupyter("execute_request", execute)).replace("execute_request", "EXECUTE_REQUEST"),
    ]  # fmt: skip

    async def all_():
        return [await talk(site, seat, m) for m in refused]

    for m, (said, closed) in zip(refused, run(all_())):
        assert closed in (1008, 1009) or (closed == 1006 and len(m) > 65_536), str(m)[:200]
        assert not any(s["msg_type"] in ("execute_result", "execute_reply", "error", "stream") for s in said)
    assert not (tmp_path / "hit").exists()


def test_forged_questions_harm_nothing(site, seat):
    good = {"seq": 99, "visitor": "0" * 32, "predict": True, "keep": True, "fields": {"name": "A", "goal": "5", "currency": "USD", "days": "3", "parent": "Games", "country": "US", "launch": "2026-12-01"}}
    forged = [good | {k: v} for k in good for v in ODD] + [good | {"fields": good["fields"] | {k: v}} for k in ("name", "goal", "parent", "category", "launch", "video", "earlier_campaigns") for v in ODD]
    ask = [to_widget({"method": "update", "state": {"request": a}, "buffer_paths": []}) for a in (*forged[:50], good | {"seq": 100})]
    said, closed = run(talk(site, seat, *ask, wait=6))
    answers = [s["content"]["data"]["state"]["answer"] for s in said if s["msg_type"] == "comm_msg" and "answer" in s["content"]["data"].get("state", {})]
    assert closed is None and answers[-1]["seq"] == 100 and 0 < answers[-1]["probability"] < 1


def test_flood_and_strangers_are_turned_away(site, seat):
    assert run(talk(site, seat, *[to_widget({"method": "request_state"})] * 200, wait=10))[1] == 1008
    with pytest.raises(Exception, match="403"):
        run(talk(site, seat, origin="https://elsewhere.example"))


def test_no_more_visitors_than_allowed():
    with served("--pool", "1", "--visitors", "1") as url:
        assert get(url)[0] == 200
        code, headers, text = get(url)
        assert code == 503 and "Too many visitors" in text and headers["Retry-After"]
        log = served.log.read_text(encoding="utf-8")
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}", log) and "sqlite" not in log and "Traceback" not in log


def test_a_kernel_that_waited_long_in_the_pool_waits_for_its_page():
    start = "from kickstarter_predictor.kernels import Limits; from kickstarter_predictor.app import serve; serve(port={}, limits=Limits(pool=1, alone=4))"
    with served(command=lambda port: [sys.executable, "-c", start.format(port)]) as url:
        get(url)
        time.sleep(12)  # the next one is warm, and older than a kernel without a page may be
        seat = seat_of(get(url)[2])
        time.sleep(2.2)  # two sweeps
        said, closed = run(talk(url, seat, to_widget({"method": "request_state"})))
        assert closed is None and any(s["msg_type"] == "comm_msg" for s in said)


def test_an_experiment_shows_each_visitor_what_chance_decided(chromium, tmp_path):
    uri, seen = f"sqlite:///{tmp_path}/requests.sqlite", {}
    with served("--pool", "2", env={"KICKSTARTER_EXPERIMENT": "on", "KICKSTARTER_RECORD": "on", "SQLALCHEMY_DATABASE_URI": uri}) as url:
        for _ in range(20):
            page = opened(chromium, url)
            page.width = "wide"
            for label, value in CAMPAIGN.items():
                field(page, label).fill(value)
            field(page, "Category").select_option("Games")
            page.get_by_role("button", name="Show my chances").click()
            page.wait_for_selector(".kp-number, .kp-advice")
            until(page, "document.querySelectorAll('.kp-history li').length > 0")
            arm = "control" if page.locator(".kp-advice").count() else "treatment"
            seen.setdefault(arm, []).append(page.evaluate("localStorage.getItem('kickstarter-predictor-visitor')"))
            assert "comparison is running" in page.locator(".kp-stored").text_content() and page.faults == []
            if arm == "control":
                field(page, "Goal").fill("500")
                settled(page)
                assert page.locator(".kp-number, .kp-curve").count() == 0 and "%" not in page.locator(".kp-history").inner_text()
                picture(page, "control")
                accessible(page)
            page.close()
            if len(seen) == 2:
                break
    stored = read_log(uri).drop_duplicates("visitor").set_index("visitor")
    assert set(seen) == {"control", "treatment"} and (stored["assigned_at"] <= stored["asked_at"]).all() and stored["probability"].notna().all()
    assert {a: stored.loc[v, "arm"].unique().tolist() for a, v in seen.items()} == {a: [a] for a in seen}


def test_port_in_use_is_said_in_one_line(site):
    done = call("python", "-m", "kickstarter_predictor.app", "--port", site.rstrip("/").split(":")[-1], "--pool", "0", cwd=ROOT, check=False)
    assert done.returncode == 1 and "is in use; choose another PORT" in done.stderr and done.stderr.count("\n") <= 3


def test_the_widget_shows_in_jupyterlab(tmp_path):
    "The form's notebook as JupyterLab runs it, then a cell that shows the widget."
    import nbformat
    from nbclient import NotebookClient

    nb = nbformat.read(ROOT / "nbs" / "34_form.ipynb", as_version=4)
    nb.cells.append(nbformat.v4.new_code_cell("Form()"))
    NotebookClient(nb, timeout=120, resources={"metadata": {"path": str(ROOT / "nbs")}}).execute()
    view = nb.cells[-1].outputs[0].data["application/vnd.jupyter.widget-view+json"]
    state = nb.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"][view["model_id"]]["state"]
    assert "render" in state["_esm"] and ".kp" in state["_css"] and state["choices"]["categories"]["Games"]
