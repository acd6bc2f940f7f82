"""rq with its scheduler: jobs at a time, jobs after an interval, retries, repeats. Results would be streams, so none are kept."""

import datetime
import logging
import os
import time

import redis
import rq
from rq import Repeat, Retry

from common import HOST, PORT, WARM, check, restart, version, wait_until


def connect():
    return redis.Redis(host=HOST, port=PORT)


def note(name, number):
    connect().rpush(name, number)


def fails_twice(name):
    if connect().rpush(name, 1) < 3:
        raise ValueError("as it should")


def noted(name):
    return [int(number) for number in connect().lrange(name, 0, -1)]


def main():
    version(rq.VERSION)
    connection = connect()
    queue = rq.Queue("later", connection=connection)
    options = {"result_ttl": 0}
    now = datetime.datetime.now(datetime.timezone.utc)
    queue.enqueue_at(now + datetime.timedelta(seconds=1), "rq_scheduler.note", "at", 1, **options)
    queue.enqueue_in(datetime.timedelta(seconds=1), "rq_scheduler.note", "in", 2, **options)
    queue.enqueue_in(datetime.timedelta(hours=1), "rq_scheduler.note", "far", 3, **options)
    queue.enqueue("rq_scheduler.fails_twice", "retries", retry=Retry(max=3, interval=[1, 1]), **options)
    queue.enqueue("rq_scheduler.note", "repeats", 4, repeat=Repeat(times=2, interval=1), **options)
    check("scheduled", len(queue.scheduled_job_registry), 3)
    if WARM:
        restart()
        check("after the restart", len(queue.scheduled_job_registry), 3)
    child = os.fork()
    if child == 0:
        worker = rq.Worker([queue], connection=connect())
        worker.work(with_scheduler=True, logging_level=logging.ERROR)
        os._exit(0)
    try:
        wait_until("scheduled jobs run", lambda: (noted("at"), noted("in")) == ([1], [2]), seconds=30)
        wait_until("a failing job is tried again", lambda: noted("retries") == [1, 1, 1], seconds=30)
        wait_until("a job is repeated", lambda: noted("repeats") == [4, 4, 4], seconds=30)
        check("the far one waits", [noted("far"), len(queue.scheduled_job_registry)], [[], 1])
        check("the scheduler's lock", connection.exists(f"rq:scheduler-lock:{queue.name}"), 1)
    finally:
        os.kill(child, 15)
        time.sleep(0.1)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
