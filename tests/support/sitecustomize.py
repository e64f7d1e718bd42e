"""Notes which files of a repository its stages open. Copied into the repository's root, which is on the path of its stages, Python runs it when it starts.

What the stage NAME and the processes that it starts open in there stands in ../opened/NAME, a path a line."""
import os
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))
MODULE, NAME = "kickstarter_predictor.stage", "STAGE_THAT_OPENS"
if MODULE in sys.orig_argv[:-1]:
    os.environ[NAME] = sys.orig_argv[sys.orig_argv.index(MODULE) + 1]

if NAME in os.environ:
    os.makedirs(os.path.join(ROOT, os.pardir, "opened"), exist_ok=True)
    log = os.open(os.path.join(ROOT, os.pardir, "opened", os.environ[NAME]), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    seen = set()

    def note(event, args):
        if event == "open" and isinstance(args[0], (str, bytes, os.PathLike)):
            path = os.path.abspath(os.fsdecode(args[0]))
            if path.startswith(ROOT + os.sep) and path not in seen and os.path.isfile(path):
                seen.add(path)
                os.write(log, f"{os.path.relpath(path, ROOT)}\n".encode())

    sys.addaudithook(note)
