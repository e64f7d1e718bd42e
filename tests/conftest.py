"What several tests need; the fixtures are in tests/support."
import shutil

import pytest

from support.browser import FLAGS, need
from support.databases import recording, server, servers, uri
from support.pipeline import site, small
from support.project import ROOT
from support.runs import long_runs, on_hostile_campaigns, on_other_data, on_real_campaigns, on_samples, pytest_collection_modifyitems, reproduced, verified
from support.s3 import bucket, keys, rclone, s3, seaweed

from kickstarter_predictor.scratch import scratch_clone

__all__ = [
    "bucket", "keys", "long_runs", "on_hostile_campaigns", "on_other_data", "on_real_campaigns", "on_samples", "pytest_collection_modifyitems",
    "rclone", "recording", "reproduced", "s3", "seaweed", "server", "servers", "site", "small", "uri", "verified",
]


@pytest.fixture
def copy(tmp_path):
    "The checkout as it is, uncommitted work and all, as a clone of its own."
    with scratch_clone(ROOT, as_it_is=True) as clone:
        yield clone


@pytest.fixture(scope="session")
def chromium():
    from playwright.sync_api import sync_playwright

    path = need(shutil.which("chromium"), "Chromium")
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()
