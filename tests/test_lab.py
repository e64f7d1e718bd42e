"Notebooks as people use them: JupyterLab in Chromium, on a copy of the project."
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import nbformat
from support.project import ROOT, call, git
from support.servers import free_port
from kickstarter_predictor.lab import execute_start, n_first

RUN_ALL = """async () => {
  const app = window.jupyterapp, panel = app.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await app.commands.execute('notebook:run-all-cells');
  await app.commands.execute('docmanager:save');
  return [...panel.content.model.cells].filter((c) => c.type === 'code' && c.sharedModel.source).map((c) => (
    { done: c.executionCount !== null, errors: c.outputs.toJSON().filter((o) => o.output_type === 'error').map((o) => `${o.ename}: ${o.evalue}`), source: c.sharedModel.source }));
}"""


@contextmanager
def lab(folder: Path):
    "The address of `make lab` in `folder`."
    port = free_port()
    options = ["--no-browser", "--allow-root", f"--ServerApp.port={port}", "--IdentityProvider.token=", "--expose-app-in-browser"]
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(folder), "JUPYTER_CONFIG_DIR": str(folder.parent / "config"), "JUPYTERLAB_SETTINGS_DIR": str(folder.parent / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(folder.parent / "workspaces")}  # fmt: skip
    log = (folder.parent / "lab.log").open("w", encoding="utf-8")
    server = subprocess.Popen([sys.executable, "-m", "kickstarter_predictor.lab", *options], cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/api", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < end, (folder.parent / "lab.log").read_text(encoding="utf-8")[-3000:]
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
        log.close()


def test_run_all_works_and_changes_no_result(reproduced, tmp_path, chromium):
    project = shutil.copytree(reproduced, tmp_path / "project", symlinks=True)
    before = call("dvc", "status", cwd=project).stdout
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(60_000)
    with lab(project) as url:
        page.goto(url)
        page.wait_for_url("**/lab/tree/nbs/index.ipynb")  # where it opens
        for name in ("index", "18_clean", "34_form"):
            page.goto(f"{url}/lab/tree/nbs/{name}.ipynb?reset")
            page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell")
            page.wait_for_function("(name) => window.jupyterapp.shell.currentWidget?.context?.path === `nbs/${name}.ipynb`", arg=name)
            cells = page.evaluate(RUN_ALL)
            assert [c["errors"] or c["source"] for c in cells if c["errors"] or not c["done"]] == [], name
            assert len(cells) > 10
    page.close()
    assert git("status", "--porcelain", cwd=project) == ""
    assert call("dvc", "status", cwd=project).stdout == before
    assert (project / "artifacts" / "interactive" / "artifacts" / "campaigns.parquet").exists(), "written beside the results"


def test_the_first_cells_of_index_show_what_they_print():
    path = ROOT / "nbs" / "index.ipynb"
    kept, nb = (nbformat.read(path, as_version=4) for _ in range(2))
    execute_start(nb, ROOT)
    outputs = lambda nb: [c.outputs for c in nb.cells[: n_first(nb)] if c.cell_type == "code"]
    assert len(outputs(kept)) >= 8 and outputs(nb) == outputs(kept), "run `make export`"
