"""Many keys: their space, and the time of a restart, DBSIZE and FLUSHALL."""

import random
import statistics
import time

from .client import BenchError, key_of, value_of
from .rates import fill
from .report import say
from .servers import Peer

CHECKED_KEYS = 1_000
DBSIZE_CALLS = 100


def space(server, before, keys):
    """Bytes per key of everything that grew with the keys."""
    after = space_figures(server)
    return {name: (after[name] - before[name]) / keys for name in after}


def space_figures(server):
    """The sizes that a server reports: Redis's used_memory, or what the pool has in use and the index.

    Segments that are made ahead and empty (128 MiB at most, whatever the data) are not in use."""
    own = {} if isinstance(server, Peer) else server.info("pmemkv")
    figures = {"dram_bytes": server.dram_bytes()}
    if own:
        for name in ("allocated_bytes", "index_bytes"):
            if own.get(name, "").isdigit():
                figures[name] = int(own[name])
        free = [own.get(name, "") for name in ("segments_free", "segment_bytes")]
        if "allocated_bytes" in figures and all(word.isdigit() for word in free):
            figures["allocated_bytes"] -= int(free[0]) * int(free[1])
    else:
        figures["used_memory"] = int(server.info("memory")["used_memory"])
    return figures


def survives(server):
    """Whether data survives a kill -9: it does not on pmemkv's volatile engines."""
    return isinstance(server, Peer) or not server.info("pmemkv").get("writes_survive", "").startswith("nothing")


def restart(server, keys, value_bytes):
    """Seconds from kill -9 to the first correct GET, and until all keys are served; then everything is checked."""
    asked = random.randrange(keys)
    began = time.monotonic()
    server.kill()
    killed = time.monotonic() - began
    server.start()
    server.wait_until(lambda client: client.call("GET", key_of(asked)) == value_of(asked, value_bytes))
    first_get = time.monotonic() - began
    server.wait_until(server.all_indexed)
    all_keys = time.monotonic() - began
    with server.client() as client:
        found = client.call("DBSIZE")
        if found != keys:
            raise BenchError(f"{server.title} has {found} keys after the restart, not {keys}")
        for number in random.sample(range(keys), min(CHECKED_KEYS, keys)):
            if client.call("GET", key_of(number)) != value_of(number, value_bytes):
                raise BenchError(f"{server.title} lost {key_of(number).decode()}")
    return {"kill_seconds": killed, "first_get_seconds": first_get, "all_keys_seconds": all_keys}


def timed(server, *command, calls=1):
    """The median time of a call, in milliseconds."""
    times = []
    with server.client() as client:
        client.call("PING")
        for _ in range(calls):
            began = time.monotonic()
            client.call(*command)
            times.append(time.monotonic() - began)
    return statistics.median(times) * 1000


def measure_one(server, generator, keys, value_bytes, rounds):
    """All measurements of one server, which starts and ends empty."""
    say(f"{keys:,} keys: {server.title}")
    server.empty()
    server.start_ready()
    before = space_figures(server)
    cpu, began = server.cpu_seconds(), time.monotonic()
    fill(generator, server, keys, value_bytes)
    figures = {
        "fill_per_second": keys / (time.monotonic() - began),
        "fill_cpu_us": (server.cpu_seconds() - cpu) * 1e6 / keys,
        "bytes_per_key": space(server, before, keys),
        "dbsize_ms": timed(server, "DBSIZE", calls=DBSIZE_CALLS),
    }
    if server.saves:
        with server.client() as client:
            client.call("SAVE")
    if survives(server):
        restarts = [restart(server, keys, value_bytes) for _ in range(rounds)]
        for name in restarts[0]:
            figures[name] = statistics.median(one[name] for one in restarts)
    figures["flushall_ms"] = timed(server, "FLUSHALL")
    server.empty()
    return figures


def measure(fleet, generator, plan):
    """A row for each number of keys: {"keys", "value_bytes", "cells"}."""
    rows = []
    for keys in plan.restart_keys:
        cells = {}
        for server in fleet.all():
            if server is fleet.ours:
                # The pairs layout takes some 500 bytes a key.
                server.pool_bytes = max(plan.pool_bytes, keys * 700)
            cells[server.title] = measure_one(server, generator, keys, plan.sizes[0], plan.restarts)
        rows.append({"keys": keys, "value_bytes": plan.sizes[0], "cells": cells})
    return rows
