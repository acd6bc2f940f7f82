"""redis-benchmark's own tests of lists, sets, hashes and sorted sets, at one pipeline."""

import subprocess
import time

from . import big
from .client import BenchError, Client, encode
from .figures import merge_slices, parse_benchmark, ratio
from .load import CLIENTS, SECONDS_MAX
from .report import number, rate_cell, say, table

PIPELINE = 16
# How many different elements a test draws from.
ELEMENTS = 100_000
# Tests that remove elements need these first: enough that every command finds one.
FILLED = {"lpop": ("list", "mylist"), "rpop": ("list", "mylist"), "spop": ("set", "myset"),
          "zpopmin": ("zset", "myzset")}
# The list that LRANGE reads, of elements as long as redis-benchmark's own.
RANGE_ELEMENTS = 100_000
RANGES = ("lrange_100", "lrange_300", "lrange_500", "lrange_600")
TESTS = ("lpush", "rpush", "lpop", "rpop", "sadd", "spop", "hset", "zadd", "zpopmin", *RANGES)
# The project's goals for the ratio of requests per second: to a peer without persistence, and to one with an AOF synced
# at every write.
GOALS = (0.9, 1.3)


def command_of(test):
    """redis-benchmark's arguments; LRANGE spelt out as its own test has it, which would push the list first."""
    if test in RANGES:
        return ["LRANGE", "mylist", "0", str(int(test.removeprefix("lrange_")) - 1)]
    return ["-t", test]


def run(server, test, requests):
    """One run of redis-benchmark's own test: rate, latencies, commands and the server's CPU seconds."""
    cpu = server.cpu_seconds()
    argv = ["redis-benchmark", "-p", str(server.port), "-P", str(PIPELINE), "-c", str(CLIENTS),
            "-r", str(ELEMENTS), "-n", str(requests), "--csv", *command_of(test)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    cpu = server.cpu_seconds() - cpu
    if done.returncode or "rror" in done.stdout + done.stderr:
        raise BenchError(f"{server.title}: redis-benchmark -t {test}: {(done.stderr or done.stdout).strip()[:300]}")
    try:
        figures = parse_benchmark(done.stdout)
    except ValueError as error:
        raise BenchError(f"{server.title}: redis-benchmark, {test}: {error}: {done.stdout[:300]}") from error
    return {**figures, "commands": requests, "cpu_seconds": cpu}


def prepare(server, test, requests):
    """Empties the server, and adds the elements that the test removes or reads."""
    with Client(server.port) as client:
        client.call("FLUSHALL")
        # Wait, so that freeing memory in the background does not disturb the next test.
        deadline = time.monotonic() + SECONDS_MAX
        while client.info("memory").get("lazyfree_pending_objects", "0") != "0":
            if time.monotonic() > deadline:
                raise BenchError(f"{server.title}: FLUSHALL does not come to an end")
            time.sleep(0.01)
        if test in RANGES:
            pushed = [encode("RPUSH", "mylist", *[b"VXK"] * 100)] * (RANGE_ELEMENTS // 100)
            client.pipeline(pushed)
    if test in FILLED:
        big.load(server, *FILLED[test], requests)


def measure_test(servers, test, requests, turns):
    """{title: figures}; the servers take turns."""
    runs = {server.title: [] for server in servers}
    for turn in range(turns):
        for server in servers[turn % len(servers):] + servers[:turn % len(servers)]:
            prepare(server, test, requests)
            runs[server.title].append(run(server, test, requests))
    return {title: merge_slices(cells) for title, cells in runs.items()}


def measure(fleet, quick):
    """A row for each test: {"test", "cells", "aof_cells"}."""
    for server in fleet.all():
        server.empty()
        server.start_ready()
    rows = []
    for test in TESTS:
        say(f"{test.upper()}, pipeline {PIPELINE}")
        requests = (20_000 if test in RANGES else 100_000) if quick else (100_000 if test in RANGES else 500_000)
        turns = 1 if quick else 3
        row = {"test": test.upper(), "cells": measure_test([*fleet.peers, fleet.ours], test, requests, turns)}
        if test not in RANGES:
            row["aof_cells"] = measure_test([*fleet.aofs, fleet.ours], test, requests // 4, turns)
        rows.append(row)
    return rows


def tables(rows, ours):
    """Both tables, in markdown."""
    parts = []
    for figure, goal, about in (("cells", GOALS[0], "without persistence"), ("aof_cells", GOALS[1], "AOF always")):
        having = [row for row in rows if figure in row]
        if not having:
            continue
        titles = [title for title in having[0][figure] if title != ours]
        lines = [[row["test"], *(rate_cell(row[figure].get(title)) for title in [*titles, ours]),
                  number(ratio(row[figure], ours, titles, "per_second")), number(goal),
                  number(ratio(row[figure], ours, titles, "cpu_us", most=False))] for row in having]
        parts.append(f"### Collections, pipeline {PIPELINE}, peers {about}\n\n"
                     + table(["", *titles, ours, "ratio", "goal", "CPU ratio"], lines))
    parts.append(f"{CLIENTS} clients, {ELEMENTS:,} different elements; redis-benchmark's own tests, and what they take out "
                 f"is there beforehand. "
                 f"Each begins with an empty database, whose former contents are reclaimed. Ratios are to the better peer.")
    return "\n\n".join(parts)
