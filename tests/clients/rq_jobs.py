"""rq: jobs are queued, a burst worker runs them.

rq keeps results in streams, so that these jobs keep none (`result_ttl=0`), and what they did shows in keys of their own.
`rq_scheduler.py` has its scheduler.
"""

import logging

import redis
import rq

from common import HOST, PORT, WARM, check, restart, version


def connect():
    return redis.Redis(host=HOST, port=PORT)


def note(name, number):
    connect().rpush(name, number)


def noted(name):
    return [int(number) for number in connect().lrange(name, 0, -1)]


def run(*queues):
    """A worker that ends when nothing is left to do; each job runs in a process of its own."""
    worker = rq.Worker(list(queues), connection=connect())
    check("the worker had work", worker.work(burst=True, logging_level=logging.ERROR), True)


def main():
    version(rq.VERSION)
    connection = connect()
    queue = rq.Queue("work", connection=connection)
    urgent = rq.Queue("urgent", connection=connection)
    options = {"result_ttl": 0}
    for number in range(5):
        queue.enqueue("rq_jobs.note", "done", number, job_id=f"job-{number}", **options)
    queue.enqueue("rq_jobs.note", "done", 100, at_front=True, **options)
    urgent.enqueue("rq_jobs.note", "done", 200, **options)
    check("queued", [queue.count, urgent.count], [6, 1])
    check("in their order", queue.get_job_ids()[1:], [f"job-{number}" for number in range(5)])
    check("a job as it is kept", queue.fetch_job("job-3").args, ("done", 3))
    queue.fetch_job("job-4").cancel()
    first = queue.enqueue("rq_jobs.note", "chain", 1, **options)
    queue.enqueue("rq_jobs.note", "chain", 2, depends_on=first, **options)
    check("deferred", len(queue.deferred_job_registry), 1)

    if WARM:
        restart()
    run(urgent, queue)
    check("the jobs ran in order", noted("done"), [200, 100, 0, 1, 2, 3])
    check("one behind the other", noted("chain"), [1, 2])
    check("nothing is left", [queue.count, urgent.count, len(queue.started_job_registry)], [0, 0, 0])
    check("jobs are gone", queue.fetch_job("job-1"), None)
    check("workers are gone", rq.Worker.count(connection=connection), 0)


if __name__ == "__main__":
    main()
