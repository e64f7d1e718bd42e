"""What a person may rely on, one campaign at a time: properties of the packaged model's answers.

The campaigns are made up: three a parent category, with names, blurbs, goals and histories of all kinds. A
property holds for each of them; no test states what a single answer is."""

import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from scipy.stats import spearmanr

from kickstarter_predictor.campaign import to_campaign
from kickstarter_predictor.models import load_predictor
from kickstarter_predictor.predict import predict, predict_many, to_columns, vectors, what_if

TITLES = {
    "Art": ("Public Art", "A mural for Elm Street"), "Comics": ("Graphic Novels", "Paper Moons: issue one"),
    "Crafts": ("Woodworking", "Hand-carved spoons"), "Dance": ("Performances", "Tides, an evening of dance"),
    "Design": ("Product Design", "The quiet desk lamp"), "Fashion": ("Accessories", "Belts from fire hoses"),
    "Film & Video": ("Documentary", "The last ferry"), "Food": ("Restaurants", "A bakery in the old station"),
    "Games": ("Tabletop Games", "Fog & Lanterns: a card game"), "Journalism": ("Audio", "Voices of the harbour"),
    "Music": ("Indie Rock", "Our second album"), "Photography": ("Photobooks", "Ten winters: a photo book"),
    "Publishing": ("Fiction", "The lighthouse keeper's notes, a novel"),
    "Technology": ("Gadgets", "A pocket weather station"), "Theater": ("Plays", "Hamlet in the park"),
}
BLURB = "Help us finish what we have worked on for two years: everything is ready but the last step."
MORE = [
    {"goal": 4000, "days": 30},
    {"goal": 15_000, "days": 35, "blurb": BLURB, "video": True, "country": "US"},
    {"goal": 60_000, "days": 60, "blurb": BLURB, "video": False, "country": "GB", "currency": "GBP",
     "created_at": "2016-01-05", "earlier_campaigns": 2, "earlier_successes": 1},
]
CAMPAIGNS = [
    {"name": name, "category": category, "parent": parent, "launched_at": "2016-03-08"} | more
    for (parent, (category, name)), more in product(TITLES.items(), MORE)
]
every_campaign = pytest.mark.parametrize(
    "campaign", CAMPAIGNS, ids=[f"{c['parent']}-{c['goal']}" for c in CAMPAIGNS]
)


@pytest.fixture(scope="module")
def predictor():
    return load_predictor("packaged")


@pytest.fixture(scope="module")
def probability(predictor):
    return lambda campaign, **change: predict(campaign | change, predictor, with_reasons=False).probability


def test_there_are_campaigns_of_all_kinds(predictor):
    assert len(CAMPAIGNS) >= 40
    assert {c["parent"] for c in CAMPAIGNS} == {*predictor.about.base_rates["parent"]}


@every_campaign
def test_never_rises_with_the_goal(campaign, predictor):
    goals = sorted({
        *np.geomspace(1, 1e9, 160).round(2), *(x for k in range(1, 10) for x in (10**k - 1, 10**k)),
        14_999, 15_000, 15_001, 49_999, 50_000, 50_001, 12_345, 7_777
    })
    p = what_if(campaign, "goal", goals, predictor).to_numpy()
    assert (np.diff(p) <= 1e-9).all()


@every_campaign
def test_a_goal_of_which_nobody_reached_half_has_a_chance_of_a_hundredth(campaign, predictor):
    about = predictor.about
    rate = about.usd_rates[campaign.get("currency", "USD")]
    goal = 2.001 * about.largest_goals[campaign["parent"]] / rate
    answer = predict(campaign | {"goal": goal}, predictor)
    assert answer.probability <= 0.01
    assert any("no campaign of" in note for note in answer.notes)


@every_campaign
def test_a_day_more_changes_little(campaign, predictor):
    p = what_if(campaign, "days", range(1, 61), predictor).to_numpy()
    assert np.abs(np.diff(p)).max() <= 0.03


@every_campaign
def test_the_hour_changes_little(campaign, predictor):
    times = [f"2016-03-08T{h:02}:{m:02}" for h in range(24) for m in (0, 7)]
    p = [*what_if(campaign, "launched_at", [*times, "2016-03-08"], predictor)]
    assert max(p) - min(p) <= 0.03


@every_campaign
def test_the_day_of_the_launch_changes_little(campaign, predictor):
    days = pd.date_range("2026-01-01", "2027-02-15").strftime("%Y-%m-%d")
    p = what_if(campaign, "launched_at", [*days], predictor).to_numpy()
    assert np.abs(np.diff(p)).max() <= 0.08  # from 31 December to 1 January, too
    assert max(np.ptp(p[at : at + 7]) for at in range(len(p) - 6)) <= 0.1


@every_campaign
def test_a_crawl_adds_the_same_whatever_else_is_given(campaign, predictor, probability):
    crawl = load_predictor("packaged", "crawl")
    added = lambda **more: logit(predict(campaign | more, crawl, with_reasons=False).probability) - logit(probability(campaign, **more))
    fields = [{}, {"blurb": None}, {"blurb": BLURB}, {"video": True}, {"staff_pick": False}, {"created_at": "2016-02-01"}, {"earlier_campaigns": 1, "earlier_successes": 0}]
    assert np.ptp([added(**more) for more in fields]) < 0.01
    assert added(category=None) == pytest.approx(0, abs=1e-6)


@every_campaign
def test_rises_with_earlier_successes(campaign, probability):
    given = lambda n: probability(campaign, earlier_campaigns=n, earlier_successes=n)
    p = [given(n) for n in (0, 1, 2, 3, 5, 10, 20)]
    assert (np.diff(p) >= 0).all()
    assert p[3] > p[1] > p[0]


def test_earlier_successes_are_worth_what_they_are(probability):
    given = lambda n: np.mean([
        probability(c, earlier_campaigns=n, earlier_successes=n) for c in CAMPAIGNS
    ])
    none, one, three = map(given, (0, 1, 3))
    assert 0.2 <= one - none <= 0.5
    assert 0.02 <= three - one <= 0.2


@every_campaign
def test_a_failure_more_does_not_help(campaign, probability):
    p = [probability(campaign, earlier_campaigns=n, earlier_successes=1) for n in (1, 2, 4, 8)]
    assert (np.diff(p) <= 0).all()


@every_campaign
@pytest.mark.parametrize("field, values", [
    ("blurb", [BLURB, "A film.", "Buy my stuff now please because I need money for many things quickly."]),
    ("video", [True, False]), ("staff_pick", [True, False]),
    ("created_at", ["2016-03-07", "2016-02-01", "2015-11-01", "2014-01-01"]),
])
def test_leaving_out_is_within_what_giving_can_do(campaign, field, values, probability):
    without = probability(campaign, **{field: None})
    each = [probability(campaign, **{field: value}) for value in values]
    assert min(each) - 1e-9 <= without <= max(each) + 1e-9


@every_campaign
def test_a_blurb_of_junk_is_worth_no_more_than_none(campaign, probability):
    none = probability(campaign, blurb=None)
    for junk in ("a", "A film.", "Fund me!", "album album album album album album album album"):
        assert probability(campaign, blurb=junk) <= none + 1e-9, junk


@every_campaign
def test_writing_it_otherwise_changes_little(campaign, probability):
    p = probability(campaign)
    for change in (str.upper, str.lower, lambda text: text + ".", lambda text: text.replace("'", "’")):
        texts = {f: change(campaign[f]) for f in ("name", "blurb") if f in campaign}
        assert abs(probability(campaign, **texts) - p) <= 0.02


@every_campaign
@pytest.mark.parametrize("write", ["\ufeff{}", "{}\u200b", "\u200e{}\u200f", "{}\u2060"], ids=ascii)
def test_what_nobody_sees_changes_nothing(campaign, write, probability):
    assert probability(campaign | {"name": write.format(campaign["name"])}) == probability(campaign)


def test_accents_are_the_same_in_either_form(probability):
    campaign = {"name": "Caf\u00e9 Lumi\u00e8re", "goal": 8000, "launched_at": "2024-05-07", "days": 30, "parent": "Food"}
    assert probability(campaign | {"name": "Cafe\u0301 Lumie\u0300re"}) == probability(campaign)


@every_campaign
def test_an_unknown_parent_is_none(campaign, probability):
    plain = {k: v for k, v in campaign.items() if k not in ("category", "parent")}
    assert probability(plain | {"parent": "Hobbies"}) == pytest.approx(probability(plain), abs=1e-9)


def test_a_name_without_words_alone_and_among_others(predictor):
    rows = pd.DataFrame([{"name": "...", "goal": 5000.0, "launched_at": "2024-05-07", "days": 30.0}] + [{"name": f"Lantern {i}", "goal": 5000.0, "launched_at": "2024-05-07", "days": 30.0} for i in range(80)])
    assert predict_many(rows, predictor)["probability"][0] == pytest.approx(predict(rows.iloc[0].to_dict(), predictor).probability, abs=1e-6)


def test_nothing_is_certain(predictor):
    sure = {"name": "Fog & Lanterns: the expansion", "goal": 1, "launched_at": "2017-05-09", "days": 30, "category": "Tabletop Games", "country": "US", "video": True, "earlier_campaigns": 5, "earlier_successes": 5}
    text = str(predict(sure, predictor)) + str(predict(sure | {"goal": 5e8}, predictor))
    assert ": 100%" not in text and ": 0%" not in text and " 100%" not in text


def test_the_order_of_categories_is_that_of_their_rates(predictor, probability):
    rates = predictor.about.base_rates["parent"]
    for campaign in CAMPAIGNS[::7]:
        p = {parent: probability(campaign, parent=parent, category=None) for parent in rates}
        assert spearmanr([rates[k]["rate"] for k in rates], [*p.values()]).statistic >= 0.8


@every_campaign
def test_reasons_sum_to_the_answer(campaign, predictor):
    answer = predict(campaign, predictor)
    points = sum(reason.points for reason in answer.reasons)
    assert abs(points - 100 * (answer.probability - answer.start)) < 1e-6
    assert all(abs(reason.points) >= 0.5 for reason in answer.reasons if reason.input != "other")


def test_the_start_is_the_same_for_all(predictor):
    starts = {round(predict(campaign, predictor).start, 6) for campaign in CAMPAIGNS}
    assert len(starts) == 1
    assert 0.2 < starts.pop() < 0.6


def test_a_prediction_alone_and_in_a_table_is_the_same(predictor, probability):
    table = predict_many(pd.DataFrame(CAMPAIGNS), predictor)["probability"].to_numpy()
    assert np.allclose(table, [probability(c) for c in CAMPAIGNS], atol=1e-6)


def test_words_that_count_stand_in_the_text(predictor):
    campaign = CAMPAIGNS[1]
    for word in predict(campaign, predictor).words:
        assert re.search(re.escape(word.word), campaign[word.text], re.I)


@pytest.mark.parametrize("mark", [":", " |", " -", " –", ",", ";", " …", ".:"])
def test_a_mark_that_hangs_at_the_end_of_a_name_says_nothing(mark, predictor):
    for campaign in CAMPAIGNS:
        marked = campaign | {"name": campaign["name"] + mark}
        plain, hanging = (predictor.encoder.odds({
            "name": [c["name"]], "blurb": [None], "parent": [c["parent"]]
        })["name"][0] for c in (campaign, marked))
        assert plain == hanging
        if " " not in mark:  # what stands alone counts in the length of the name
            change = predict(marked, predictor).probability - predict(campaign, predictor).probability
            assert abs(change) < 0.02


@pytest.mark.parametrize("name", [":", "...", "!!!", "—", "🎲🎲"])
def test_a_name_without_a_letter_is_worded_like_the_average_one(name, predictor):
    for campaign in CAMPAIGNS:
        assert not predict(campaign | {"name": name, "blurb": None}, predictor).words
    columns = to_columns([to_campaign(CAMPAIGNS[0] | {"name": name})], predictor.about)
    names = predictor.about.names
    assert vectors(columns, predictor)[0, names.index("name_text")] == 0


@every_campaign
def test_a_draft_of_the_day_of_the_launch_is_half_a_day_old(campaign, predictor):
    drafts = [campaign | {"created_at": at} for at in (campaign["launched_at"], "2016-03-07")]
    columns = to_columns([to_campaign(draft) for draft in drafts], predictor.about)
    days = vectors(columns, predictor)[:, predictor.about.names.index("log_preparation")]
    assert np.allclose(10**days, [0.5, 1])
    same, before = (predict(draft, predictor).probability for draft in drafts)
    assert abs(same - before) < 0.03


@every_campaign
def test_beyond_what_is_known_there_is_no_interval(campaign, predictor):
    vast = predict(campaign | {"goal": 1e9}, predictor)
    assert vast.low is None and vast.high is None
    assert predict(campaign | {"goal": 1000}, predictor).low is not None


def test_a_late_launch_is_said_to_be_answered_as_an_earlier_one(predictor):
    last, later = (
        predict(CAMPAIGNS[0] | {"launched_at": at}, predictor).notes
        for at in ("2017-12-31", "2018-01-01")
    )
    assert not last and "after 2017" in later[0]


def test_a_country_without_a_rate_is_said_to_be_unknown(predictor):
    known = predictor.encoder.rates["country"]
    for country in predictor.about.levels["country"]:
        notes = predict(CAMPAIGNS[0] | {"country": country}, predictor).notes
        assert any(country in note for note in notes) == (country not in known)


def test_no_subcategory_is_a_sentence(predictor):
    assert not [pair for pair in predictor.about.subcategories if pair.endswith(".")]


def test_a_word_is_named_once_a_text_and_counts(predictor):
    repeated = CAMPAIGNS[0] | {"name": "A mural, a mural, a mural", "blurb": BLURB}
    words = predict(repeated, predictor).words
    assert len({(w.text, w.word) for w in words}) == len(words)
    assert min(abs(w.weight) for w in words) >= 0.05


@every_campaign
def test_each_sentence_goes_the_way_of_its_number(campaign, predictor):
    text = str(predict(campaign, predictor))
    steps = re.findall(r"(?m)^ +([+-][\d.]+)  .* (raises|lowers) it by", text)
    assert len(steps) >= 5
    for points, verb in steps:
        assert float(points) == 0 or (float(points) > 0) == (verb == "raises")
