"""huey: a consumer runs jobs, and takes scheduled ones by a Lua script."""

import logging
import os
import time

import huey

from common import HOST, PORT, WARM, check, restart, version, wait_until

tasks = huey.RedisHuey("app", host=HOST, port=PORT)
priorities = huey.PriorityRedisHuey("prio", host=HOST, port=PORT)


@tasks.task()
def add(x, y):
    return x + y


@tasks.task(retries=2, retry_delay=1)
def fails_twice():
    if tasks.storage.conn.incr("attempts") < 3:
        raise ValueError("as it should")
    return "at last"


def result_of(result):
    try:
        return result.get(preserve=True)
    except huey.exceptions.TaskException:
        result.reset()
        return None


def main():
    version(huey.__version__)
    logging.disable(logging.CRITICAL)
    results = [add(i, 1) for i in range(3)]
    later = add.schedule((40, 2), delay=1)
    far = add.schedule((1, 1), delay=3600)
    tried = fails_twice()
    check("queued", [tasks.pending_count(), tasks.scheduled_count()], [6, 0])
    if WARM:
        restart()
        check("after the restart", tasks.pending_count(), 6)
    child = os.fork()
    if child == 0:
        tasks.create_consumer(workers=2, periodic=False, scheduler_interval=1).run()
        os._exit(0)
    try:
        check("results", [result.get(blocking=True, timeout=20) for result in results], [1, 2, 3])
        check("a scheduled one", later.get(blocking=True, timeout=20), 42)
        wait_until("tried again", lambda: tasks.storage.conn.get("attempts") == b"3", seconds=20)
        # The error of the first attempt is its result until the last one is over.
        wait_until("the last result", lambda: result_of(tried) == "at last", seconds=20)
        wait_until("the far one waits", lambda: tasks.scheduled_count() == 1)
        check("it has no result", far.get(), None)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    with tasks.lock_task("once"):
        check("locked", tasks.is_locked("once"), True)
        time.sleep(0.05)
    check("free", tasks.is_locked("once"), False)
    storage = priorities.storage
    for priority in (1, 9, 5):
        storage.enqueue(b"%d" % priority, priority)
    check("priorities", [storage.dequeue() for _ in range(3)], [b"9", b"5", b"1"])


main()
