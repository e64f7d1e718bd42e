.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
# The environment's own commands first, so that `python` in dvc.yaml is its Python.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
# The same encoding whatever the locale of the caller.
export PYTHONUTF8 := 1

.PHONY: help reproduce test reports run model verify refresh benchmark worker app lab dvc export lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1\t\2/' | expand -t 12

reproduce: $(READY) ## run the whole pipeline (dvc repro) on the data of data.dvc: by default the embedded snapshot
	@echo "Runs the stages of dvc.yaml whose code, data or parameters changed: all of them take three to four minutes."
	@dvc repro -q || { echo "A stage stopped; \`dvc repro\` goes on from there, and shows what DVC says of it." >&2; exit 1; }
	@echo "Done: every result is up to date."
	@echo "  the reports      reports/README.md, or any reports/*.html in a browser"
	@echo "  the form         make app"
	@echo "  the notebooks    make lab; executed, with figures: artifacts/notebooks/"

test: $(READY) ## run every test (about 22 minutes): notebooks and modules in step, nbdev_test, pytest
	@echo "All tests take about 22 minutes on two cores."
	python -m pytest -q tests/test_sync.py
	nbdev_test --n_workers 2
	python -m pytest -q --durations 10 --ignore tests/test_sync.py tests

reports: $(READY) ## bring the reports up to date and list them
	dvc repro -q
	@ls reports/*.html

run: $(READY) ## make run DATA=<file|folder|glob|URL> OUT=<folder>: the same pipeline on other data; this checkout stays as it is
	@python -m kickstarter_predictor.scratch run --data '$(DATA)' --out '$(OUT)'

model: $(READY) ## make model DATA='<snapshots>' ALONE='<files>': train the packaged model on real campaigns, and evaluate single files as well (default: ../shared/data)
	@python -m kickstarter_predictor.packaging --data '$(or $(DATA),../shared/data/*.json.gz)' --alone $(or $(ALONE),$(if $(DATA),,../shared/data/scraped_2017_2024.json.gz))
	@python -m kickstarter_predictor.monitor reference --data '$(or $(DATA),../shared/data/*.json.gz)'

verify: $(READY) ## reproduce by force in a scratch clone and compare every output with the committed one
	@python -m kickstarter_predictor.scratch verify

refresh: $(READY) ## make refresh [OUT=summary.md]: fetch new data, reproduce, keep the results if they are no worse (limits in params.yaml)
	@python -m kickstarter_predictor.refresh $(if $(OUT),--out '$(OUT)')

benchmark: $(READY) ## measure what each part costs, and render reports/53_benchmark (about half an hour)
	python -m kickstarter_predictor.stage benchmark

worker: $(READY) ## run trials of the stage tune from another terminal or machine, until all are done (how.tune.storage in params.yaml)
	@python -m kickstarter_predictor.tune worker

app: $(READY) ## make app HOST=127.0.0.1 PORT=8866 [NAME=example.org]: serve the form as a web page; NAME is what browsers call it
	@python -m kickstarter_predictor.app --host $(or $(HOST),127.0.0.1) --port $(or $(PORT),8866) $(if $(NAME),--allowed-host '$(NAME)')

lab: $(READY) ## open the project in JupyterLab, on nbs/index.ipynb; what notebooks write goes to artifacts/interactive/
	@python -m kickstarter_predictor.lab

dvc: $(READY) ## write dvc.yaml anew from the notebooks
	python -m kickstarter_predictor.stage --dvc

export: $(READY) ## after editing notebooks: clear their outputs (index keeps those of its first cells), clean, export the modules, write dvc.yaml
	jupyter nbconvert --log-level WARN --clear-output --inplace nbs/*.ipynb
	nbdev_clean
	nbdev_export
	python -m kickstarter_predictor.stage --dvc
	python -m kickstarter_predictor.lab --outputs

lock: $(READY) ## write requirements.lock anew from settings.ini
	python -m pip install -q uv
	uv pip compile -q --refresh setup.py --extra dev --universal --python-version 3.11 --generate-hashes --no-header -o requirements.lock

clean: ## remove what the pipeline and the tools made (not .venv, not the reports, not the recorded requests)
	[ ! -d artifacts ] || find artifacts -mindepth 1 -maxdepth 1 ! -name 'campaigns.sqlite*' ! -name campaigns.spool -exec rm -rf {} +
	rm -rf data build dist *.egg-info .dvc/cache .dvc/tmp .pytest_cache nbs/.last_checked
	find . -path ./$(VENV) -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -print0 | xargs -0 rm -rf

$(READY): requirements.lock settings.ini setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	python -m pip install -q --disable-pip-version-check --no-deps -r requirements.lock
	python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
