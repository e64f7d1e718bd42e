"The experiment and the monitor on real databases and on real campaigns."
import json

import numpy as np
import pandas as pd
import pytest
from support.project import ROOT, SHARED, needs_shared
from kickstarter_predictor.acquire import acquire
from kickstarter_predictor.clean import clean
from kickstarter_predictor.experiment import (
    ARMS, Traffic, adjusted, balance, effect, looks, read_log, simulated_log, subgroup_effects,
    visitors_of,
)
from kickstarter_predictor.monitor import by_month, drift, drift_rate, ended, inputs, reference
from kickstarter_predictor.database import connect, ensure_table, write
from kickstarter_predictor.core import InputError, rounded

pytestmark = pytest.mark.usefixtures("recording")

CAMPAIGNS = pd.DataFrame(
    {
        "name": ["Lämpchen 🎲", "A song; DROP TABLE campaigns", "<b>Bread</b>", "Глобус"], "blurb": "Text", "goal": [5000.0, 900.0, 12000.0, 1e6], "currency": "USD", "country": "US",
        "parent": ["Design", "Music", "Food", "Design"], "category": None, "staff_pick": None, "launched_at": pd.Timestamp("2026-03-01", tz="UTC"), "created_at": pd.Timestamp("2026-01-01", tz="UTC"), "days": 30.0, "video": [True, False, None, True],
    }
)  # fmt: skip
ROWS = simulated_log(CAMPAIGNS, np.array([0.3, 0.7, 0.2, 0.05]), Traffic(visitors_per_day=20, days=30, effect=0.1), "trial", "a salt")


def figures(log):
    "Whatever the two reports say of a log."
    visitors = visitors_of(log, "trial")
    treated = visitors["arm"] == ARMS[1]
    return json.dumps(
        rounded(
            {
                "n": len(visitors), "effect": effect(treated, visitors["success"])._asdict(), "adjusted": adjusted(treated, visitors["success"], visitors["probability"])._asdict(),
                "balance": balance(visitors).to_dict("list"), "looks": looks(visitors, 600).assign(day=lambda f: f["day"].astype(str)).to_dict("list"), "groups": subgroup_effects(visitors).to_dict("list"),
                "months": by_month(ended(log)).to_dict("list"), "drift": [d._asdict() for d in drift(inputs(log), reference(inputs(CAMPAIGNS)))],
            },
            12,
        )
    )  # fmt: skip


@pytest.fixture(scope="session")
def expected():
    return figures(pd.DataFrame(ROWS).assign(**{c: lambda f, c=c: pd.to_datetime(f[c], utc=True) for c in ("asked_at", "launched_at", "created_at", "matched_at", "assigned_at")}))


def test_every_database_gives_the_same_figures(uri, expected):
    engine = connect(uri)
    ensure_table(engine)
    for at in range(0, len(ROWS), 400):
        write(engine, ROWS[at : at + 400][::-1])
    engine.dispose()
    assert figures(read_log(uri)) == expected


def test_an_empty_database_and_one_that_is_away(uri, tmp_path):
    log = read_log(uri)
    visitors = visitors_of(log, "trial")
    assert visitors.empty and ended(log).empty and balance(visitors)["stratum"].tolist() == ["all"] and by_month(ended(log))["alert"].tolist() == ["too few"]
    assert looks(visitors, 100).empty and np.isnan(effect([], []).p) and np.isnan(adjusted([], [], []).p)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="SQLALCHEMY_DATABASE_URI: the database is away"):
        read_log(f"sqlite:///{tmp_path / 'folder'}")


@pytest.fixture(scope="session")
def scraped(tmp_path_factory):
    out = tmp_path_factory.mktemp("scraped") / "projects.parquet"
    acquire(SHARED / "scraped_2017_2024.json.gz", out, quiet=True)
    return clean(pd.read_parquet(out))[0]


@needs_shared
def test_drift_rings_for_other_years_and_not_for_random_halves(scraped):
    year, watched = scraped["launched_at"].dt.year, inputs(scraped)
    known = reference(watched[year <= 2019])
    later = watched[year >= 2022]
    assert {"parent", "category", "preparation_days"} <= {d.field for d in drift(later, known) if d.alert}
    months = [drift(later.sample(300, random_state=i), known) for i in range(50)]
    assert np.mean([any(d.alert not in ("", "too few") for d in m) for m in months]) > 0.9
    assert drift_rate(watched, 200, 0.01) <= 0.03 and drift_rate(watched, 200, 0.01, size=200) <= 0.03


def test_the_packaged_reference_holds_aggregates_only():
    known = json.loads((ROOT / "kickstarter_predictor" / "packaged" / "reference.json").read_text(encoding="utf-8"))
    assert known["goal_usd"]["n"] > 100_000 and all(set(v) <= {"n", "edges", "shares"} and abs(sum(v["shares"].values()) - 1) < 1e-3 for v in known.values())
    assert not {"name", "blurb", "id"} & known.keys()
