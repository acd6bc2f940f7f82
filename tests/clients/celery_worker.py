"""A Celery worker as a process of its own, for the clients that need one."""

import os
import pathlib
import subprocess
import sys

from common import FOLDER

LOG = pathlib.Path(FOLDER) / "worker.log"


def start_worker(app, *options):
    """Starts a worker of the module `app`; all workers of a client write to one log."""
    command = [sys.executable, "-m", "celery", "-A", app, "worker", "--pool=solo", "--loglevel=WARNING", *options]
    with open(LOG, "ab") as log:
        return subprocess.Popen(
            command,
            cwd=pathlib.Path(__file__).parent,
            env={**os.environ, "C_FORCE_ROOT": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def stop(worker):
    worker.terminate()
    try:
        worker.wait(timeout=10)
    except subprocess.TimeoutExpired:
        worker.kill()


def show_log():
    print(LOG.read_text(), file=sys.stderr)
