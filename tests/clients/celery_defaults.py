"""Celery with the server as its broker and its store of results, with all of Celery's defaults.

The list of unacknowledged messages is guarded by redis-py's lock, queues of control and of events expire, and chords
count by scripts or transactions.
"""

import os
import signal
import time

import celery
import redis
from celery import chain, chord, group

from celery_worker import show_log, start_worker, stop
from common import HOST, PORT, URL, WARM, check, restart, version, wait_until

VISIBILITY_SECONDS = 2

app = celery.Celery("celery_defaults", broker=URL, backend=URL.removesuffix("0") + "1")
# Not a default: the messages of a worker that dies come back after two seconds, not after an hour.
app.conf.broker_transport_options = {"visibility_timeout": VISIBILITY_SECONDS}
app.conf.broker_connection_retry_on_startup = True


@app.task(name="add")
def add(x, y):
    return x + y


@app.task(name="total")
def total(numbers):
    return sum(numbers)


@app.task(name="fails")
def fails():
    raise ValueError("as it should")


@app.task(name="stuck", acks_late=True, bind=True)
def stuck(self, key):
    connection = redis.Redis(host=HOST, port=PORT)
    if connection.incr(key) == 1:
        # The first worker dies here, with the message unacknowledged.
        os.kill(os.getpid(), signal.SIGKILL)
    return "done by another"


def work():
    check("result", add.delay(2, 3).get(timeout=30), 5)
    check("chain", chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=30), 10)
    check("chord", chord((add.s(i, i) for i in range(20)), total.s())().get(timeout=30), 380)
    nested = chord([group(add.s(1, 1), add.s(2, 2)), add.s(3, 3)], total.s())
    check("chord of a group", nested().get(timeout=30), 12)
    failed = chord([add.s(1, 1), fails.s()], total.s())()
    wait_until("the chord fails", lambda: failed.state == "FAILURE", seconds=30)
    later = [add.apply_async((i, 1), countdown=0.5) for i in range(5)]
    check("delayed", [result.get(timeout=30) for result in later], [1, 2, 3, 4, 5])


def holds(raw, result):
    """Whether the message of this task is unacknowledged. So may others be, that the worker had no time to acknowledge."""
    return any(result.id.encode() in message for message in raw.hvals("unacked"))


def main():
    version(celery.__version__)
    raw = redis.Redis(host=HOST, port=PORT)
    worker = start_worker("celery_defaults")
    try:
        work()
        lost = stuck.delay("attempts")
        wait_until("the worker dies", lambda: worker.poll() is not None, seconds=20)
        check("its message is kept", holds(raw, lost), True)
        if WARM:
            restart()
            check("after the restart too", holds(raw, lost), True)
        # A worker looks for lost messages when it starts, and then seldom.
        time.sleep(VISIBILITY_SECONDS + 0.5)
        worker = start_worker("celery_defaults")
        check("another worker takes it over", lost.get(timeout=40), "done by another")
        wait_until("nothing is unacknowledged", lambda: raw.hlen("unacked") == 0, seconds=20)
    except BaseException:
        show_log()
        raise
    finally:
        stop(worker)


if __name__ == "__main__":
    main()
