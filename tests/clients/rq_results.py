"""rq: what jobs return and why they fail, which rq keeps in streams; retries, and results after a restart."""

import logging

import redis
import rq
from rq.results import Result

from common import HOST, PORT, WARM, check, check_within, restart, version

RESULTS_MAX = 10


def connect():
    return redis.Redis(host=HOST, port=PORT)


def add(first, second):
    return {"sum": first + second}


def fail(times):
    """Fails that many times, then returns how often it ran."""
    ran = connect().incr("ran")
    if ran <= times:
        raise ValueError(f"try {ran}")
    return ran


def run(queue):
    """A worker that ends when nothing is left to do. Jobs run in this process, so that an error's text is short."""
    rq.SimpleWorker([queue], connection=connect()).work(burst=True, logging_level=logging.CRITICAL)


def returned(queue, connection):
    job = queue.enqueue("rq_results.add", 1, 2, result_ttl=500)
    check("not yet", job.latest_result(), None)
    run(queue)
    check("finished", job.get_status(), rq.job.JobStatus.FINISHED)
    check("return value", job.return_value(), {"sum": 3})
    result = job.latest_result()
    check("result", [result.type, result.return_value, result.job_id], [Result.Type.SUCCESSFUL, {"sum": 3}, job.id])
    key = Result.get_key(job.id)
    check("one entry", [connection.type(key), connection.xlen(key)], [b"stream", 1])
    check("its id", connection.xrevrange(key, count=1)[0][0].decode(), result.id)
    check_within("time to live", connection.ttl(key), 490, 500)
    return job


def waited(queue):
    """A client waits for a result that does not come in time."""
    job = queue.enqueue("rq_results.add", 3, 4)
    check("nobody runs it", job.latest_result(timeout=1), None)
    run(queue)
    check("it is there", job.latest_result(timeout=5).return_value, {"sum": 7})


def failed(queue, connection):
    connection.delete("ran")
    job = queue.enqueue("rq_results.fail", 3, retry=rq.Retry(max=5), failure_ttl=500)
    run(queue)
    check("at last", job.return_value(), 4)
    types = [result.type for result in job.results()]
    # The newest comes first. Tries that are repeated leave no result of their own, or one each.
    check("the newest", types[0], Result.Type.SUCCESSFUL)

    connection.delete("ran")
    hopeless = queue.enqueue("rq_results.fail", 100, failure_ttl=500)
    run(queue)
    check("failed", hopeless.get_status(), rq.job.JobStatus.FAILED)
    result = hopeless.latest_result()
    check("why", [result.type, "ValueError: try 1" in result.exc_string], [Result.Type.FAILED, True])

    connection.delete("ran")
    forgotten = queue.enqueue("rq_results.fail", 100, result_ttl=0)
    run(queue)
    check("failed without a time for results", forgotten.get_status(), rq.job.JobStatus.FAILED)
    return hopeless


def repeated(queue):
    """The stream keeps the last few results of a job that runs again and again."""
    job = queue.enqueue("rq_results.add", 5, 6)
    run(queue)
    for _ in range(RESULTS_MAX + 2):
        queue.enqueue_job(job)
        run(queue)
    # It asks the server to keep about so many.
    check_within("the last ones", len(job.results()), RESULTS_MAX, RESULTS_MAX + 3)
    job.delete()
    check("gone with the job", Result.count(job), 0)


def main():
    version(rq.VERSION)
    connection = connect()
    queue = rq.Queue("results", connection=connection)
    job = returned(queue, connection)
    waited(queue)
    hopeless = failed(queue, connection)
    repeated(queue)
    if WARM:
        restart()
        check("after a restart", rq.job.Job.fetch(job.id, connection).return_value(), {"sum": 3})
        again = rq.job.Job.fetch(hopeless.id, connection)
        check("why it failed", "ValueError: try 1" in again.latest_result().exc_string, True)
        check("failed jobs", hopeless.id in queue.failed_job_registry.get_job_ids(), True)


if __name__ == "__main__":
    main()
