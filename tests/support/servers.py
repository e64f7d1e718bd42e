"Database servers from Debian's packages, on a free loopback port, with a data folder that is thrown away."
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

PASSWORD = "p@ss:w/ör d%41"


def free_port() -> int:
    with closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def find(name: str) -> str | None:
    "The program `name`: on the path, or where Debian keeps servers."
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/sbin")]
    return next((str(p / name) for p in places if (p / name).exists()), None) or shutil.which(name)


class Server:
    "A server that can be stopped and started: `start` and `stop`, `uri()` for SQLAlchemy."

    needs: tuple[str, ...] = ()

    def __init__(self):
        self.port, self.process, self.number = free_port(), None, itertools.count()
        self.folder = Path(tempfile.mkdtemp(prefix="kp-"))
        self.user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}  # servers refuse root
        if self.user:
            shutil.chown(self.folder, "nobody", "nogroup")
        self.data = self.folder / "data"

    @classmethod
    def missing(cls) -> list[str]:
        return [n for n in cls.needs if not find(n)]

    def call(self, name, *args, **options):
        done = subprocess.run([find(name), *map(str, args)], cwd=self.folder, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}, capture_output=True, text=True, **self.user, **options)
        assert done.returncode == 0, f"{name}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"

    def launch(self, name, *args):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([find(name), *map(str, args)], cwd=self.folder, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}, stdout=log, stderr=log, **self.user)
        end = time.monotonic() + 30
        while True:
            try:
                return self.connect().close()
            except Exception as e:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f"{name} does not start ({e}): {(self.folder / 'log').read_text(encoding='utf-8')[-2000:]}") from None
                time.sleep(0.05)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def remove(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, statement):
        with closing(self.connect()) as c:
            cursor = c.cursor()
            cursor.execute(statement)
            c.commit()
            return cursor.fetchall() if cursor.description else None

    def empty(self) -> str:
        "The address of a new database, which `creator` may use: its name begins with kp."
        return self.database(f"kp{next(self.number)}")

    def uri(self, database, password=PASSWORD):
        from sqlalchemy import URL

        return URL.create(self.driver, "creator", password, "127.0.0.1", self.port, database).render_as_string(hide_password=False)


class MariaDB(Server):
    needs, driver = ("mariadbd", "mariadb-install-db"), "mysql"

    def make(self):
        self.call("mariadb-install-db", "--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=4M")
        self.start()
        self.execute(f"CREATE USER creator@'%' IDENTIFIED BY '{PASSWORD}'")
        self.execute("GRANT ALL ON `kp%`.* TO creator@'%'")

    def start(self):
        small = ("--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M", "--performance-schema=off", "--skip-log-bin", "--skip-name-resolve")
        self.launch("mariadbd", "--no-defaults", f"--datadir={self.data}", f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self.folder}/s", f"--pid-file={self.folder}/pid", *small)

    def connect(self, database=None):
        import pymysql

        return pymysql.connect(unix_socket=f"{self.folder}/s", user="root", database=database, autocommit=True)

    def database(self, name):
        self.execute(f"CREATE DATABASE {name} CHARACTER SET latin1")  # the table's own character set must do
        return self.uri(name)


class PostgreSQL(Server):
    needs, driver = ("initdb", "postgres"), "postgresql"

    def make(self):
        self.call("initdb", "-D", self.data, "-U", "admin", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8")
        (self.data / "pg_hba.conf").write_text("local all admin trust\nhost all creator 127.0.0.1/32 scram-sha-256\n", encoding="utf-8")
        self.start()
        self.execute(f"CREATE ROLE creator LOGIN PASSWORD '{PASSWORD}'")

    def start(self):
        self.launch("postgres", "-D", self.data, "-p", self.port, "-h", "127.0.0.1", "-k", self.folder, "-c", "fsync=off", "-c", "shared_buffers=16MB")

    def connect(self, database="postgres"):
        import psycopg

        return psycopg.connect(host=str(self.folder), port=self.port, user="admin", dbname=database, autocommit=True)

    def stop(self):
        import signal

        self.process.send_signal(signal.SIGINT)  # SIGTERM would wait for the last client
        self.process.wait(30)
        self.process = None

    def database(self, name):
        self.execute(f"CREATE DATABASE {name} OWNER creator")
        return self.uri(name)
