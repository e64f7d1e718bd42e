"What became of the campaigns: `kickstarter-outcomes` on real databases, snapshots and real campaigns."
import csv
import gzip
import io
import json
import re
from collections import namedtuple
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from support.project import ROOT, SHARED, call, needs_shared
from kickstarter_predictor.matching import Rules
from kickstarter_predictor.outcomes import (
    simulated_request, figures, judged, main, match, read_snapshots, simulated, update,
)
from kickstarter_predictor.requests import typed
from kickstarter_predictor.database import Database, rows, write
from kickstarter_predictor.record import Recorder
from kickstarter_predictor.core import InputError
from test_record import query

pytestmark = pytest.mark.usefixtures("recording")

Said = namedtuple("Said", "returncode stdout stderr")
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
PAGE = "https://www.kickstarter.com/projects/ada/"
OTHERS = ["Moonlit Press", "A debut album", "Cats of Lisbon", "The quiet year", "Paper boats", "Twin lamps", "Twin lamps"]


def day(n: float) -> datetime:
    return START + timedelta(days=n)


def a_try(number: int, name: str | None = "Fog & Lanterns", visitor: str = "", launch: float = 30, **more) -> dict:
    given = {"country": "US", "category": "Tabletop Games", "parent": "Games", "goal": 12000.0}
    return typed({**given, "id": f"{number:032x}", "visitor": visitor or f"v{number}", "asked_at": day(number / 24), "name": name, "launched_at": day(launch), "probability": 0.5, **more})


def a_project(number: int, name: str = "Fog & Lanterns", state: str = "successful", launch: float = 33, **more) -> dict:
    about = {"country": "US", "currency": "USD", "goal": 9000, "slug": f"slug-{number}", "category": {"name": "Tabletop Games", "parent_name": "Games", "slug": "games/tabletop games"}}
    return {**about, "id": number, "name": name, "state": state, "launched_at": int(day(launch).timestamp()), "deadline": int(day(launch + 30).timestamp()), **more}


def a_snapshot(path, *projects, at: float = 200):
    "A gzip'ed snapshot of that day in `path`: these projects, and others."
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as f:
        for p in [*projects, *(a_project(100 + i, name, "failed", 20 + i) for i, name in enumerate(OTHERS))]:
            f.write(json.dumps({"run_id": f"Kickstarter_{day(at):%Y-%m-%dT%H_%M_%S}_000Z", "data": p}) + "\n")
    return path


def outcomes(*arguments, check=True):
    "The command, in this process: its exit code and what it printed."
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*map(str, arguments)])
    assert not (check and code), err.getvalue()
    return Said(code, out.getvalue(), err.getvalue())


def put(uri, tries):
    database = Database(uri)
    database.use(lambda e: write(e, tries))
    database.disconnect()


def table(uri) -> list[dict]:
    database = Database(uri)
    found = database.use(lambda e: list(rows(e)))
    database.disconnect()
    return found


def matches(uri) -> list[tuple]:
    return [(r["project_id"], r["outcome"]) for r in table(uri)]


TRIES = [
    a_try(1), a_try(2, "FOG and lantrens!", "ada"), a_try(3, "Fog & Lanterns: a game", "ada", goal=1.0), a_try(4, "Mountain bikes"), a_try(5, "Twin lamps"), a_try(6, "Fog & Lanterns 2"),
    a_try(7, "Something else", link=f"{PAGE}slug-103"), a_try(8, None, launch=25, link="102"), a_try(9, "Туман", link=f"{PAGE}a-draft"), a_try(10, "The quiett yaer"),
]  # fmt: skip
FOUND = [1, 1, 1, None, None, None, 103, 102, None, 103]


def test_live_then_ended_and_never_twice(uri, tmp_path):
    put(uri, TRIES)
    before = table(uri)
    live = a_snapshot(tmp_path / "live.json.gz", a_project(1, state="live", launch=33), at=40)
    assert "10 requests of 9 campaigns" in outcomes(live, "--uri", uri, "--dry-run").stdout and table(uri) == before
    said = outcomes(live, "--uri", uri).stdout
    ended = lambda state: [(p, None if p is None else state if p == 1 else "failed") for p in FOUND]
    assert matches(uri) == ended(None)
    assert "Twin lamps" in said and "2 projects of this name" in said and "another of a series" in said and "Mountain bikes" not in said
    first = table(uri)
    later = [{k: v for k, v in r.items() if k not in ("project_id", "outcome", "matched_at")} for r in first]
    assert later == [{k: v for k, v in r.items() if k not in ("project_id", "outcome", "matched_at")} for r in before], "nothing else is touched"
    assert all((r["matched_at"] is None) == (r["project_id"] is None) for r in first)
    outcomes(live, "--uri", uri)
    assert table(uri) == first
    done = a_snapshot(tmp_path / "crawls" / "done.json.gz", a_project(1, state="canceled", launch=33), at=200)
    outcomes(done.parent, "--uri", uri)
    assert matches(uri) == ended("canceled") and [r["matched_at"] for r in table(uri)] == [r["matched_at"] for r in first]
    last = table(uri)
    for again in ([done.parent], [live], [live, done.parent], [done, live, done]):
        outcomes(*again, "--uri", uri)
        assert table(uri) == last


def test_what_the_form_recorded_is_found(uri, tmp_path):
    "Tries as the form keeps them, with a time of asking that is now, in an environment that names the database; a later try of a campaign gets what the earlier ones got."
    recorder = Recorder(uri, spool=tmp_path / "spool", wait=15)
    campaign = {"name": "Fog & Lanterns", "goal": 12000.0, "country": "US", "category": "Tabletop Games", "parent": "Games", "launched_at": day(30), "days": 30.0}
    ask = lambda **more: recorder.record({**campaign, **more}, 0.5, 0.4, 0.6, "m", "ada")
    assert ask() and ask(goal=1.0, name="FOG + LANTERNS")
    call("python", "-m", "kickstarter_predictor.outcomes", str(a_snapshot(tmp_path / "a.json.gz", a_project(1))), cwd=ROOT, env={"SQLALCHEMY_DATABASE_URI": uri})
    assert matches(uri) == [(1, "successful")] * 2
    assert ask(launched_at=day(900))
    recorder.close()
    outcomes(a_snapshot(tmp_path / "b.json.gz"), "--uri", uri)
    assert matches(uri) == [(1, "successful")] * 3


def test_a_person_may_decide(uri, tmp_path):
    put(uri, [a_try(1, "Twin lamps"), a_try(2, "Twin lamps", "v1")])
    snapshot, out = a_snapshot(tmp_path / "a.json.gz"), tmp_path / "doubt.csv"
    outcomes(snapshot, "--uri", uri, "--out", out)
    listed = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert {r["project_id"] for r in listed} == {"105", "106"} and {r["request"] for r in listed} == {f"{2:032x}"} and matches(uri) == [(None, None)] * 2
    query(uri, f"UPDATE campaigns SET project_id = 106 WHERE id = '{2:032x}'")
    assert "0 are in doubt" in outcomes(snapshot, "--uri", uri).stdout and matches(uri) == [(106, "failed")] * 2


HOSTILE = ["=cmd|'/c calc'!A1 twin lamps", "@SUM(1) twin lamps", "<script>alert(1)</script> twin lamps", "a | b ` twin lamps", "\x1b[31m\u202e twin lamps\r\n# x", "'; DROP TABLE campaigns; --", "🏮" * 60, "%s {0} twin lamps", "ﷺ" * 40]


@pytest.mark.parametrize("name", ["doubt.csv", "doubt.md"])
def test_what_was_typed_is_text_in_the_list(tmp_path, name):
    uri = f"sqlite:///{tmp_path}/c.sqlite"
    put(uri, [a_try(i, text, launch=24) for i, text in enumerate(HOSTILE)])
    twins = [a_project(300 + 2 * i + j, text, launch=24) for i, text in enumerate(HOSTILE) for j in (0, 1)]
    outcomes(a_snapshot(tmp_path / "a.json.gz", *twins), "--uri", uri, "--out", tmp_path / name)
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert text.count("projects of this name") >= 2 * (len(HOSTILE) - 1) and not set(text) & set("\x1b\u202e\r")
    if name.endswith("csv"):
        assert not [cell for row in csv.reader(io.StringIO(text)) for cell in row if cell[:1] in tuple("=+-@")]
    else:
        columns = text.splitlines()[4].count("|")
        assert not re.search(r"(?<!\\)<script>", text) and all(line.count("|") - line.count("\\|") == columns for line in text.splitlines()[4:])
    assert len(table(uri)) == len(HOSTILE)


BAD = {
    "missing.json.gz": (None, "missing.json.gz: there is no such file or folder"), "page.json": (b"<html>not found</html>", "page.json: is an HTML"), "empty.json.gz": (b"", "empty.json.gz: is empty"),
    "torn.json.gz": (gzip.compress(b'{"data": {"id": 1}}' * 1000)[:60], "torn.json.gz: its packed data"), "other.json": (b'{"data": {"id": "x"}}\n', "other.json: holds no project"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_snapshots_are_said_in_one_line(tmp_path, name):
    uri, (content, message) = f"sqlite:///{tmp_path}/c.sqlite", BAD[name]
    put(uri, TRIES)
    before = table(uri)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = outcomes(a_snapshot(tmp_path / "good.json.gz", a_project(1)), tmp_path / name, "--uri", uri, check=False)
    assert done.returncode == 1 and message in done.stderr and len(done.stderr.splitlines()) == 1 and done.stdout == "" and table(uri) == before


@pytest.mark.parametrize("uri,message", [("sqlite:///{}/none.sqlite", "none.sqlite: there is no such database"), ("mysql:secret@host", "not an address"), ("paradox://a:secret@b/c", "no driver"),
                                         ("mysql://creator:secret@127.0.0.1:1/x", "the database is away")])  # fmt: skip
def test_bad_addresses_are_said_in_one_line(tmp_path, uri, message):
    done = outcomes(a_snapshot(tmp_path / "a.json.gz"), "--uri", uri.format(tmp_path), check=False)
    assert done.returncode == 1 and message in done.stderr and len(done.stderr.splitlines()) == 1 and "secret" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["a.json.gz"]


def test_a_list_that_cannot_be_written_is_said(tmp_path):
    uri = f"sqlite:///{tmp_path}/c.sqlite"
    put(uri, TRIES)
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    done = outcomes(a_snapshot(tmp_path / "a.json.gz", a_project(1)), "--uri", uri, "--out", tmp_path / "file" / "x.csv", check=False)
    assert matches(uri) == [(None, None)] * len(TRIES), "known before the database changes"
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr and (tmp_path / "file").read_text(encoding="utf-8") == "in the way"
    done = outcomes(a_snapshot(tmp_path / "a.json.gz", a_project(1)), "--uri", uri, "--out", "-")
    assert done.stdout.startswith("# Campaigns in doubt\n") and done.stdout.splitlines()[2] == done.stderr.strip() and matches(uri)[0] == (1, "successful")


def test_a_database_that_goes_away_is_left_as_it_was(server, tmp_path):  # noqa: F811
    uri = server.empty()
    put(uri, TRIES)
    before, snapshot = table(uri), a_snapshot(tmp_path / "a.json.gz", a_project(1))

    def read_while_it_stops():
        read_snapshots([snapshot], tmp_path / "p.parquet")
        server.stop()
        return tmp_path / "p.parquet"

    try:
        with pytest.raises(InputError, match="the database is away, nothing is written"):
            update(Database(uri), read_while_it_stops)
        done = outcomes(snapshot, "--uri", uri, check=False)
        assert done.returncode == 1 and "the database is away" in done.stderr and len(done.stderr.splitlines()) == 1
    finally:
        server.start()
    assert table(uri) == before
    outcomes(snapshot, "--uri", uri)
    assert [p for p, _ in matches(uri)] == FOUND


def test_all_or_nothing_is_written(tmp_path):
    uri = f"sqlite:///{tmp_path}/c.sqlite"
    put(uri, TRIES)
    before = table(uri)
    query(uri, f"CREATE TRIGGER no BEFORE UPDATE ON campaigns WHEN NEW.id = '{10:032x}' BEGIN SELECT RAISE(ABORT, 'refused'); END")
    done = outcomes(a_snapshot(tmp_path / "a.json.gz", a_project(1)), "--uri", uri, check=False)
    assert done.returncode == 1 and "refused" in done.stderr and table(uri) == before


# ---- real campaigns ---------------------------------------------------------------------------
def projects_of(name, folder) -> pd.DataFrame:
    read_snapshots([SHARED / name], folder / f"{name}.parquet", quiet=True)
    return pd.read_parquet(folder / f"{name}.parquet")


@needs_shared
def test_a_real_crawl_gives_the_same_on_every_database(uri, tmp_path):
    "Against the file as it is: 300 of its campaigns with damaged names, and 150 of other years that it cannot hold."
    there, strangers, rng = projects_of("scraped_2017_2024.json.gz", tmp_path), projects_of("kick_2009_2015.json.gz", tmp_path), np.random.default_rng(40)
    strangers = strangers.assign(launched_at=strangers["launched_at"] + pd.Timedelta(days=8 * 365)).loc[lambda f: f["name"].notna() & ~f["name"].str.lower().isin(there["name"].str.lower())]
    asked = [(p.id if frame is there else None, simulated_request(p, str(kind), rng, Rules())) for frame, n in ((there, 300), (strangers, 150))
             for p, kind in zip(frame.sample(n, random_state=1).itertuples(), rng.choice(["case", "punctuation", "typos", "truncated", "other letters"], n))]  # fmt: skip
    put(uri, [row for _, row in asked])
    outcomes(SHARED / "scraped_2017_2024.json.gz", "--uri", uri)
    truth, state = {row["id"]: i for i, row in asked}, dict(zip(there["id"], there["state"]))
    found = {r["id"]: r["project_id"] for r in table(uri)}
    right = [i for i, p in found.items() if p is not None and p == truth[i]]
    taken = sum(p is not None for p in found.values())
    assert len(right) / taken >= 0.99 and len(right) / 300 >= 0.9
    assert all(r["outcome"] == (state[r["project_id"]] if state[r["project_id"]] != "live" else None) for r in table(uri) if r["project_id"])
    alone = match(sorted((row for _, row in asked), key=lambda r: (r["asked_at"], r["id"])), tmp_path / "scraped_2017_2024.json.gz.parquet", Rules(), START)
    assert {i: p for i, p in found.items() if p is not None} == {c["id"]: c["project_id"] for c in alone.written}, "the same on every database, and without one"


@needs_shared
@pytest.mark.parametrize("name,seeds", [("kick_2009_2015", (31, 32)), ("scraped_2017_2024", (31, 32, 33)), ("population_2009_2017", (31, 32))])
def test_precision_and_recall_on_real_campaigns(name, seeds, tmp_path):
    "500 known projects a seed with damaged names and launches, 250 that are not there, near-duplicates; thresholds were chosen on other seeds (1000 to 1003)."
    projects = projects_of(f"{name}.json.gz", tmp_path)
    together = pd.concat([judged(simulated(projects, 500, 250, seed)) for seed in seeds])
    said = figures(together)
    assert said["precision"][0] >= 0.99 and said["recall"][0] >= 0.9, said
    assert said["listed with the true one"] >= 0.9 * said["listed"] and said["missed"] <= 0.01 * 500 * len(seeds), "the rest is listed"


@needs_shared
def test_a_snapshot_in_its_csv_form(tmp_path):
    projects = projects_of("webrobots_raw_2018_11.csv", tmp_path)
    uri, rng = f"sqlite:///{tmp_path}/c.sqlite", np.random.default_rng(3)
    chosen = projects.sample(40, random_state=3)
    put(uri, [simulated_request(p, "case", rng, Rules()) for p in chosen.itertuples()] + [a_try(5, None, link=f"{PAGE}{projects['slug'].iloc[0]}", launch=-2600)])
    outcomes(SHARED / "webrobots_raw_2018_11.csv", "--uri", uri)
    found = {r["project_id"] for r in table(uri)} - {None}
    assert len(found & set(chosen["id"])) >= 36 and found <= {*chosen["id"], projects["id"].iloc[0]}


@pytest.mark.parametrize("arguments,words", [(["s", "--uri", ""], "--uri is empty"), (["s", "--uri", " \t"], "--uri is empty"), ([""], "a SNAPSHOT is empty"), (["s", " "], "a SNAPSHOT is empty")])
def test_an_empty_shell_variable_is_refused(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SQLALCHEMY_DATABASE_URI", f"sqlite:///{tmp_path}/c.sqlite")
    put(f"sqlite:///{tmp_path}/c.sqlite", TRIES)
    done = outcomes(*arguments, check=False)
    assert done.returncode == 1 and words in done.stderr and len(done.stderr.splitlines()) == 1 and matches(f"sqlite:///{tmp_path}/c.sqlite") == [(None, None)] * len(TRIES)
    monkeypatch.setenv("SQLALCHEMY_DATABASE_URI", "")
    assert "SQLALCHEMY_DATABASE_URI is empty" in outcomes("s", check=False).stderr
