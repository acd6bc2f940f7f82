"""Celery's Redis result backend: a worker on a file-system broker, results awaited by subscription."""

import pathlib
import time

import celery
import redis
from celery import group
from celery.exceptions import TimeoutError
from celery.result import AsyncResult, GroupResult

from celery_worker import show_log, start_worker, stop
from common import FOLDER, HOST, PORT, URL, WARM, check, check_raises, check_within, restart, version, wait_until

folders = {}
for name in ("in", "processed", "control"):
    folders[name] = pathlib.Path(FOLDER) / f"celery-{name}"
    folders[name].mkdir(exist_ok=True)

app = celery.Celery(
    "celery_results",
    broker="filesystem://",
    backend=URL,
    broker_transport_options={
        "data_folder_in": folders["in"],
        "data_folder_out": folders["in"],
        "processed_folder": folders["processed"],
        "control_folder": folders["control"],
        "store_processed": False,
        "polling_interval": 0.02,
    },
)
app.conf.update(
    result_expires=600,
    result_extended=True,
    task_track_started=True,
    broker_connection_retry_on_startup=True,
)


@app.task(name="add")
def add(x, y):
    return x + y


@app.task(name="fail")
def fail():
    raise ValueError("as it should")


@app.task(name="slow", bind=True)
def slow(self):
    self.update_state(state="HALF", meta={"done": 50})
    time.sleep(0.3)
    return "done"


def work(raw):
    result = add.delay(2, 3)
    check("result", result.get(timeout=30), 5)
    key = f"celery-task-meta-{result.id}"
    check_within("it expires", raw.ttl(key), 590, 600)
    check("state", AsyncResult(result.id, app=app).state, "SUCCESS")

    failed = fail.delay()
    check("error", check_raises("failed task", ValueError, lambda: failed.get(timeout=30)), "as it should")
    check("state of the failed", failed.state, "FAILURE")

    states = []
    running = slow.delay()
    done = running.get(timeout=30, on_message=lambda message: states.append(message["status"]))
    check("slow task", [done, states], ["done", ["STARTED", "HALF", "SUCCESS"]])

    results = group(add.s(i, i) for i in range(20)).apply_async()
    check("group", results.get(timeout=30), [2 * i for i in range(20)])
    results.save()
    check("restored group", GroupResult.restore(results.id, app=app).get(timeout=10), [2 * i for i in range(20)])

    pending = AsyncResult("no such task", app=app)
    check("unknown task", pending.state, "PENDING")
    check_raises("no result in time", TimeoutError, lambda: pending.get(timeout=0.3))
    result.forget()
    check("forgotten", raw.exists(key), 0)
    return failed, running


def main():
    version(celery.__version__)
    raw = redis.Redis(host=HOST, port=PORT)
    worker = start_worker("celery_results", "--without-gossip", "--without-mingle", "--without-heartbeat")
    try:
        failed, running = work(raw)
        if WARM:
            restart()
            check("after the restart", AsyncResult(running.id, app=app).get(timeout=10), "done")
            check("the failed one", AsyncResult(failed.id, app=app).state, "FAILURE")
            # The worker and the waiting side both connect again.
            wait_until("new work", lambda: add.delay(20, 22).get(timeout=20) == 42, seconds=30)
    except BaseException:
        show_log()
        raise
    finally:
        stop(worker)


if __name__ == "__main__":
    main()
