"""Lua scripts: how many run in a second, and what other clients wait meanwhile."""

import subprocess
import threading

from .client import BenchError, Client
from .figures import merge_slices, parse_benchmark, ratio, requests_for
from .load import CLIENTS, SECONDS_MAX
from .report import number, rate_cell, say, table

PIPELINES = (1, 16)
# How many different keys, members and times the scripts get.
KEYS = 10_000
# The project's goal for the ratio of scripts per second.
GOAL = 1.0

INCR = "return redis.call('incr', KEYS[1])"
# A rate limiter over a sliding window, five times over: 20 calls.
LIMITER = """\
local now, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local count
for i = 1, 5 do
    redis.call('zremrangebyscore', KEYS[1], '-inf', now - window)
    count = redis.call('zcard', KEYS[1])
    redis.call('zadd', KEYS[1], now, ARGV[3])
    redis.call('expire', KEYS[1], window)
end
return count
"""
INCR_ARGUMENTS = ["1", "counter:__rand_int__"]
LIMITER_ARGUMENTS = ["1", "limit:__rand_int__", "__rand_int__", "1000", "__rand_int__"]
# {name: (the script, whether by its SHA-1, its keys and arguments)}
TESTS = {
    "EVAL \"return 1\"": ("return 1", False, ["0"]),
    "EVAL of one INCR": (INCR, False, INCR_ARGUMENTS),
    "EVALSHA of one INCR": (INCR, True, INCR_ARGUMENTS),
    "EVALSHA of 20 calls": (LIMITER, True, LIMITER_ARGUMENTS),
}

# Clients that read by GET while scripts run, each of them one command after the other.
GETS_PER_SECOND = 2_000
# How long scripts run beside them.
BESIDE_SECONDS = 4.0


def command_of(server, test):
    """redis-benchmark's arguments."""
    script, by_sha, arguments = TESTS[test]
    if not by_sha:
        return ["EVAL", script, *arguments]
    with Client(server.port) as client:
        return ["EVALSHA", client.call("SCRIPT", "LOAD", script).decode(), *arguments]


def run(server, command, pipeline, requests):
    """One run of redis-benchmark: rate, latencies, commands and the CPU seconds of the server's threads."""
    argv = ["redis-benchmark", "-p", str(server.port), "-P", str(pipeline), "-c", str(CLIENTS),
            "-r", str(KEYS), "-n", str(requests), "--csv", *command]
    cpu = server.threads_cpu_seconds()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    cpu = server.threads_cpu_seconds() - cpu
    # The scripts themselves stand in the output, and none of them has this word.
    if done.returncode or "rror" in done.stdout + done.stderr:
        raise BenchError(f"{server.title}: redis-benchmark {command[0]}: {(done.stderr or done.stdout).strip()[:300]}")
    return {**parse_csv(done.stdout), "commands": requests, "cpu_seconds": cpu}


def parse_csv(text):
    """The figures. A script's text is the first column, quotes and line breaks and all, so only the last ones are read."""
    lines = text.splitlines()
    header = lines[0].split(",")[1:]
    figures = lines[-1].rsplit("\",\"", len(header))[1:]
    return parse_benchmark("\n".join([lines[0], ",".join(["\"script\"", *(f"\"{one.rstrip(chr(34))}\"" for one in figures)])]))


def empty(server):
    """Removes what the last test left."""
    with Client(server.port) as client:
        client.call("FLUSHALL")


def measure_test(servers, test, pipeline, seconds, turns):
    """{title: figures}; the servers take turns."""
    slices, requests = {server.title: [] for server in servers}, {}
    for server in servers:
        guess = requests_for(20_000, 0.3, pipeline, CLIENTS)
        empty(server)
        first = run(server, command_of(server, test), pipeline, guess)
        requests[server.title] = requests_for(first["per_second"], seconds, pipeline, CLIENTS)
    for turn in range(turns):
        for server in servers[turn % len(servers):] + servers[:turn % len(servers)]:
            empty(server)
            slices[server.title].append(run(server, command_of(server, test), pipeline, requests[server.title]))
    return {title: merge_slices(cells) for title, cells in slices.items()}


def beside(server, generator, test, per_second, quick):
    """Scripts as fast as they go, or none if there is no test, and GETs at a fixed rate beside them."""
    empty(server)
    generator.fill(server, 0, KEYS, 64)
    seconds = BESIDE_SECONDS / (4 if quick else 1)
    scripts, failures = [], []

    def load():
        try:
            requests = requests_for(per_second, seconds * 1.3, 1, CLIENTS)
            scripts.append(run(server, command_of(server, test), 1, requests))
        except BenchError as error:
            failures.append(error)

    thread = threading.Thread(target=load)
    if test:
        thread.start()
    gets = generator.fixed_rate(server, "get", GETS_PER_SECOND, seconds, KEYS, 64)
    if test:
        thread.join()
    if failures:
        raise failures[0]
    return {**gets, "scripts_per_second": scripts[0]["per_second"] if scripts else None}


def measure(fleet, generator, quick):
    """{"rates": rows of {"test", "pipeline", "cells"}, "beside": rows of {"test", "cells"}}"""
    two = fleet.make_ours("two-workers", threads=2, title=f"{fleet.ours.title}, 2 workers")
    fleet.extra.append(two)
    two.pool_bytes = fleet.ours.pool_bytes = 1 << 30
    for server in fleet.all():
        server.empty()
    servers = [*fleet.peers, fleet.ours]
    for server in [*servers, two]:
        server.start_ready()
    seconds, turns = (0.4, 1) if quick else (1.5, 3)
    rates = []
    for test in TESTS:
        for pipeline in PIPELINES:
            say(f"{test}, pipeline {pipeline}")
            cells = measure_test([*servers, two], test, pipeline, seconds, turns)
            rates.append({"test": test, "pipeline": pipeline, "cells": cells})
    rows = []
    for test in (None, "EVALSHA of one INCR", "EVALSHA of 20 calls"):
        say(f"GETs beside {test or 'nothing'}")
        known = next((row["cells"] for row in rates if (row["test"], row["pipeline"]) == (test, 1)), {})
        cells = {server.title: beside(server, generator, test, known.get(server.title, {}).get("per_second"), quick)
                 for server in [*servers, two]}
        rows.append({"test": test, "cells": cells})
    for server in [*servers, two]:
        server.empty()
    return {"rates": rates, "beside": rows}


def tables(result, ours):
    """Both tables, in markdown."""
    lines = []
    for row in result["rates"]:
        cells = row["cells"]
        own = [title for title in cells if title.startswith(ours)]
        peers = [title for title in cells if title not in own]
        lines.append([f"{row['test']}, pipeline {row['pipeline']}",
                      *(rate_cell(cells[title]) for title in [*peers, *own]),
                      number(ratio(cells, ours, peers, "per_second")), number(GOAL),
                      number(ratio(cells, ours, peers, "cpu_us", most=False))])
    parts = ["### Scripts\n\n" + table(["", *peers, *own, "ratio", "goal", "CPU ratio"], lines)]
    parts.append(f"{CLIENTS} clients, {KEYS:,} keys: scripts per second, CPU time of the server's threads per script, "
                 f"p50 / p99. The script of 20 calls is a rate limiter, five times ZREMRANGEBYSCORE, ZCARD, ZADD and "
                 f"EXPIRE. The peers keep nothing, {ours}'s writes are in the pool. Ratios are to the better peer.")
    lines = []
    for row in result["beside"]:
        for title, cell in row["cells"].items():
            scripts = cell["scripts_per_second"]
            lines.append([f"{row['test'] or 'nothing'}, {title}", "-" if scripts is None else f"{scripts:,.0f}",
                          *(number(cell[name], 0) for name in ("p50_us", "p99_us", "p999_us", "max_us"))])
    parts.append("### GETs of other clients beside scripts\n\n"
                 + table(["us", "scripts/s", "p50", "p99", "p99.9", "max"], lines))
    parts.append(f"{GETS_PER_SECOND:,} GETs per second by {CLIENTS} clients, each timed from when it was due, while "
                 f"{CLIENTS} other clients run scripts at pipeline 1 as fast as they can.")
    return "\n\n".join(parts)
