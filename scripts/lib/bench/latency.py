"""Latency at a fixed rate, measured from the due times: at rest, and while peers save and ours compacts."""

import contextlib
import functools
import threading
import time

from .client import BenchError, key_of
from .figures import half_rate, merge_turns
from .load import CLIENTS, benchmark
from .rates import fill
from .report import say
from .servers import StandIn

# Overwrites beside the measured commands, the same for every server: they give a saving peer pages to copy and a
# nearly full pool segments to compact.
OVERWRITES_PER_SECOND = 20_000
FILLED_SHARE = 0.85
CHUNKS = 64


def at_rest(fleet, generator, plan, rates):
    """Rows {"test", "per_second", "cells"} for GET and SET at half of the better peer's best rate."""
    rows = []
    peers = [peer.title for peer in fleet.peers]
    for test in ("GET", "SET"):
        per_second = half_rate(rates, peers, test)
        say(f"{test} at {per_second:,}/s")

        run = functools.partial(generator.fixed_rate, command=test.lower(), per_second=per_second,
                                seconds=plan.latency_seconds / plan.slices, keys=plan.keyspace,
                                value_bytes=plan.sizes[0])
        cells = in_turns([*fleet.peers, fleet.ours], plan.slices, run)
        rows.append({"test": test, "per_second": per_second, "cells": cells})
    return rows


def in_turns(servers, turns, run):
    """{title: figures}: each server once in every turn."""
    runs = {server.title: [] for server in servers}
    for _ in range(turns):
        for server in servers:
            runs[server.title].append(run(server))
    return {title: merge_turns(cells) for title, cells in runs.items()}


class Saving:
    """Keeps a peer saving: BGSAVE after BGSAVE, from entering to leaving."""

    def __init__(self, server):
        self.server = server
        self.saves = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        """Asks four times a second whether the last BGSAVE has ended."""
        try:
            with self.server.client() as client:
                while not self.ended.is_set():
                    if client.info("persistence")["rdb_bgsave_in_progress"] == "0":
                        client.call("BGSAVE")
                        self.saves += 1
                    self.ended.wait(0.25)
        except (OSError, BenchError) as error:
            say(f"{self.server.title}: BGSAVE: {error}")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(timeout=60)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.server.info("persistence")["rdb_bgsave_in_progress"] == "0":
                return
            time.sleep(0.05)


def fill_pool(server, generator, plan):
    """Starts it with a small pool and fills that to `FILLED_SHARE`; returns the number of keys."""
    server.empty()
    server.pool_bytes = plan.small_pool_bytes
    server.start_ready()
    # A key takes about 140 to 500 bytes: steps that are small beside the whole.
    step = max(plan.small_pool_bytes // 500 // CHUNKS, 1)
    keys = 0
    while True:
        if fill_share(server) >= FILLED_SHARE:
            return keys
        try:
            generator.fill(server, keys, keys + step, plan.sizes[0])
        except BenchError as error:
            if "OOM" not in str(error):
                raise
            # The pool was full sooner than its figures say: remove the incomplete step again.
            with server.client() as client:
                client.call("DEL", *(key_of(number) for number in range(keys, keys + step)))
            return keys
        keys += step


def fill_share(server):
    """The allocated part of the pool."""
    own = server.info("pmemkv")
    return int(own["allocated_bytes"]) / int(own["pool_bytes"])


def compaction_fields(server):
    """What INFO says of compaction, by field; empty for a layout that has none."""
    fields = server.info("pmemkv").items()
    return {name: int(value) for name, value in fields if "compact" in name and value.isdigit()}


def while_busy(fleet, generator, plan, rates):
    """One row like `at_rest`'s: GETs and SETs by halves, beside overwrites, with what each server did meanwhile."""
    peers = [peer.title for peer in fleet.peers]
    per_second = min(half_rate(rates, peers, test) for test in ("GET", "SET"))
    ours = fleet.ours
    stand_in = isinstance(ours, StandIn)
    keys, filled = plan.keyspace, None
    if not stand_in:
        say("filling a small pool")
        keys = fill_pool(ours, generator, plan)
        filled = fill_share(ours)

    for peer in fleet.peers:
        with peer.client() as client:
            client.call("FLUSHALL")
        fill(generator, peer, keys, plan.sizes[0])
    before = {}
    if not stand_in:
        # Once over the free part of the pool, so that it compacts from the first measured moment.
        before = compaction_fields(ours)
        benchmark(ours, "SET", 64, keys, max(int(keys * plan.overwrite_share), 64 * CLIENTS), plan.sizes[0])
    saves = {peer.title: 0 for peer in fleet.peers}

    def run(server):
        say(f"GET and SET at {per_second:,}/s while busy: {server.title}")
        with Saving(server) if server in fleet.peers else contextlib.nullcontext() as saving:
            figures = generator.fixed_rate(server, "mixed", per_second, plan.latency_seconds / plan.slices, keys,
                                           plan.sizes[0], OVERWRITES_PER_SECOND)
        if saving:
            saves[server.title] += saving.saves
        return figures

    cells = in_turns([*fleet.peers, ours], plan.slices, run)
    did = {title: f"BGSAVE {count} times" for title, count in saves.items()}
    if not stand_in:
        after = compaction_fields(ours)
        changes = [f"{name} +{after[name] - before.get(name, 0):,}" for name in after
                   if after[name] != before.get(name, 0)]
        did[ours.title] = ", ".join(changes) or "overwritten; its INFO shows no compaction"
    return {"test": "GET and SET, busy", "per_second": per_second, "keys": keys, "filled_share": filled,
            "overwrites_per_second": OVERWRITES_PER_SECOND, "cells": cells, "did": did}
