"Databases of each kind, and a form that records in one of them."
import os

import pytest

from .servers import MariaDB, PostgreSQL

SERVERS = {"mariadb": MariaDB, "postgresql": PostgreSQL}


@pytest.fixture
def recording(monkeypatch):
    "The form's tries are kept, in no database of the person who runs the tests."
    for name in ("SQLALCHEMY_DATABASE_URI", "KICKSTARTER_SPOOL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KICKSTARTER_RECORD", "on")


@pytest.fixture(scope="session")
def servers():
    "The server of a kind, started once; `server.empty()` is the address of a database nobody has used."
    made = {}

    def get(kind):
        if kind not in made:
            if missing := SERVERS[kind].missing():
                said = f"no {', '.join(missing)} here: install Debian's package {'mariadb-server' if kind == 'mariadb' else 'postgresql'}"
                pytest.fail(said) if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip(said)
            made[kind] = SERVERS[kind]()
            made[kind].make()
        return made[kind]

    yield get
    for server in made.values():
        server.remove()


@pytest.fixture(params=["sqlite", *SERVERS])
def uri(request, servers, tmp_path):
    "The address of an empty database of each kind."
    return f"sqlite:///{tmp_path}/db/campaigns.sqlite" if request.param == "sqlite" else servers(request.param).empty()


@pytest.fixture(params=SERVERS)
def server(request, servers):
    return servers(request.param)
