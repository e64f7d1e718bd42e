# The form as a web page (target app, the default), and the pipeline (target pipeline).
# Every package comes from requirements.lock and is checked by its hash; later steps install from those files alone.
FROM python:3.11-slim-bookworm AS wheels
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements.lock ./
RUN python -m pip download -q --no-deps --require-hashes --no-build-isolation -d /wheels -r requirements.lock \
 && python -m pip install -q --no-index --find-links /wheels --upgrade setuptools \
 && python -m pip wheel -q --no-index --no-deps --no-build-isolation -w /wheels /wheels/*.tar.gz

FROM wheels AS tools
RUN python -m venv --without-pip /opt/tools \
 && python -m pip --python /opt/tools/bin/python install -q --no-index --no-deps /wheels/*.whl

FROM python:3.11-slim-bookworm AS pipeline
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends git >/dev/null \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home maker \
 && install -d -o 10001 -g 10001 /project
COPY --from=tools /opt/tools /opt/tools
ENV PATH=/opt/tools/bin:/usr/local/bin:/usr/bin:/bin HOME=/home/maker PYTHONUNBUFFERED=1 PYTHONPATH=/project
WORKDIR /project
COPY --chown=10001:10001 . ./
# Its commands, such as kickstarter-snapshots.
RUN /usr/local/bin/python -m pip --python /opt/tools/bin/python install -q --no-index --no-deps --no-build-isolation -e .
USER 10001:10001
RUN dvc config --local core.no_scm true
CMD ["dvc", "repro"]

FROM wheels AS environment
COPY setup.py settings.ini README.md ./
COPY kickstarter_predictor ./kickstarter_predictor
RUN python -m pip wheel -q --no-index --no-deps --no-build-isolation -w /wheels . \
 && python -m venv --without-pip /opt/app \
 && python -m pip --python /opt/app/bin/python install -q --no-index --find-links /wheels "kickstarter-predictor[app,mysql,postgresql]"

FROM python:3.11-slim-bookworm AS app
RUN useradd --uid 10001 --no-create-home --home-dir /tmp creator \
 && install -d -o 10001 -g 10001 /data
COPY --from=environment /opt/app /opt/app
# Only /data (recorded requests) and /tmp (Jupyter's files) are written: the rest may be read-only.
ENV PATH=/opt/app/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SQLALCHEMY_DATABASE_URI=sqlite:////data/campaigns.sqlite KICKSTARTER_SPOOL=/data/spool
VOLUME /data
WORKDIR /data
USER 10001:10001
EXPOSE 8866
# /health starts no kernel.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8866/health', timeout=4)"]
CMD ["python", "-m", "kickstarter_predictor.app", "--host", "0.0.0.0", "--port", "8866"]
