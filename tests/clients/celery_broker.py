"""Celery with the server as its broker, by kombu's Redis transport, and as its result backend.

With settings that use no Lua scripts: `ack_emulation` is off, and queues of events and of control stay. `celery_defaults.py`
has Celery's defaults. Gossip, mingle and heartbeats are on, as by default: they talk by fanout exchanges.
"""

import celery
import kombu
import redis
from celery import group

from celery_worker import show_log, start_worker, stop
from common import HOST, PORT, URL, WARM, check, restart, version, wait_until

app = celery.Celery("celery_broker", broker=URL, backend=URL.removesuffix("0") + "1")
app.conf.update(
    broker_transport_options={"ack_emulation": False, "priority_steps": [0, 3, 6, 9]},
    broker_connection_retry_on_startup=True,
    control_queue_expires=None,
    event_queue_expires=None,
    worker_prefetch_multiplier=1,
)


@app.task(name="add")
def add(x, y):
    return x + y


@app.task(name="again", bind=True, max_retries=3)
def again(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries


def work():
    check("result", add.delay(2, 3).get(timeout=30), 5)
    results = group(add.s(i, i) for i in range(30)).apply_async()
    check("group", results.get(timeout=30), [2 * i for i in range(30)])
    check("delayed", add.apply_async((1, 5), countdown=0.3).get(timeout=20), 6)
    check("of another priority", add.apply_async((1, 6), priority=9).get(timeout=20), 7)
    check("tried again", again.delay().get(timeout=20), 2)
    wait_until("the worker answers by fanout", lambda: len(app.control.ping(timeout=1)) == 1)


def main():
    version(f"{celery.__version__} with kombu {kombu.__version__}")
    raw = redis.Redis(host=HOST, port=PORT)
    worker = start_worker("celery_broker")
    try:
        work()
        stop(worker)
        waiting = [add.delay(i, 1) for i in range(20)]
        check("messages that wait", raw.llen("celery"), 20)
        if WARM:
            restart()
            check("messages after the restart", raw.llen("celery"), 20)
        worker = start_worker("celery_broker")
        check("their results", [result.get(timeout=30) for result in waiting], [i + 1 for i in range(20)])
        check("nothing waits", raw.llen("celery"), 0)
    except BaseException:
        show_log()
        raise
    finally:
        stop(worker)


if __name__ == "__main__":
    main()
