"""Requests per second, CPU time per command and latency under full load, for each test, pipeline and value size."""

from .client import BenchError
from .figures import merge_slices, requests_for
from .load import CLIENTS, benchmark, first_guess
from .report import say

PIPELINES = (1, 16, 64)
TESTS = ("GET", "SET", "SET EX", "INCR", "MGET of 10", "MSET of 10")
AOF_TEST = "SET, AOF always"
IO_THREADS = (1, 2)


def tests_for(value_bytes, sizes):
    """INCR makes its own values, so one size is enough for it."""
    return [test for test in TESTS if test != "INCR" or value_bytes == sizes[0]]


def measure_cell(servers, test, pipeline, keyspace, value_bytes, seconds, slices, clients=CLIENTS):
    """{title: figures}. The servers take turns, slice by slice, so that a neighbour's noise hits all alike."""
    requests, runs = {}, {server.title: [] for server in servers}
    for server in servers:
        # A short run first: it warms up, and it says how many requests fill the wanted time.
        probe = first_guess(pipeline, clients, test, value_bytes)
        rate = benchmark(server, test, pipeline, keyspace, probe, value_bytes, clients)["per_second"]
        requests[server.title] = requests_for(rate, seconds / slices, pipeline, clients)
    for turn in range(slices):
        # Vary the order, so that no server always follows the same other one.
        for server in servers[turn % len(servers):] + servers[:turn % len(servers)]:
            runs[server.title].append(
                benchmark(server, test, pipeline, keyspace, requests[server.title], value_bytes, clients))
    return {title: merge_slices(cells) for title, cells in runs.items()}


def fill(generator, server, keys, value_bytes, first=0, counters=0):
    """Fills a running server, quickly even if it syncs each write."""
    server.before_filling()
    generator.fill(server, first, keys, value_bytes)
    if counters:
        generator.fill_counters(server, counters)
    server.after_filling()


def choose_io_threads(fleet, generator, plan):
    """Sets each peer's io-threads to the better setting at one point (GET and SET, pipeline 16)."""
    chosen = []
    for peer, twin in zip(fleet.peers, fleet.aofs):
        say(f"io-threads of {peer.title}")
        scores = {}
        for threads in IO_THREADS:
            peer.io_threads = threads
            peer.start_ready()
            fill(generator, peer, plan.probe_keys, plan.sizes[0])
            score = 1.0
            for test in ("GET", "SET"):
                cell = measure_cell([peer], test, 16, plan.probe_keys, plan.sizes[0], plan.cell_seconds / 3, 1)
                score *= cell[peer.title]["per_second"]
            scores[threads] = score ** 0.5
            peer.empty()
        peer.io_threads = twin.io_threads = max(scores, key=scores.get)
        chosen.append({"server": peer.title, "io_threads": peer.io_threads,
                       "per_second": {str(threads): round(score) for threads, score in scores.items()}})
    return chosen


def measure(fleet, generator, plan):
    """A row for each value size, test and pipeline: {"test", "pipeline", "value_bytes", "cells"}.

    The servers stay up with `plan.keyspace` keys of the first size: what follows uses them as they are.
    """
    rows = []
    for value_bytes in reversed(plan.sizes):
        for server in fleet.all():
            say(f"filling {server.title}: {plan.keyspace:,} keys of {value_bytes} B")
            server.empty()
            server.start_ready()
            counters = plan.keyspace if server not in fleet.aofs and value_bytes == plan.sizes[0] else 0
            fill(generator, server, plan.keyspace, value_bytes, counters=counters)
        for pipeline in PIPELINES:
            for test in [*tests_for(value_bytes, plan.sizes), AOF_TEST]:
                say(f"{test}, pipeline {pipeline}, {value_bytes} B")
                against_aof = test == AOF_TEST
                servers = [*(fleet.aofs if against_aof else fleet.peers), fleet.ours]
                cells = measure_cell(servers, "SET" if against_aof else test, pipeline, plan.keyspace, value_bytes,
                                     plan.cell_seconds, plan.slices)
                rows.append({"test": test, "pipeline": pipeline, "value_bytes": value_bytes, "cells": cells})
        check_alive(fleet)
    return sorted(rows, key=lambda row: plan.sizes.index(row["value_bytes"]))


def check_alive(fleet):
    """Checks that no server has died."""
    for server in fleet.all():
        if server.process and server.process.poll() is not None:
            raise BenchError(f"{server.title} ended: {server.log_tail()}")
