"""Latency at a fixed rate, measured from the due times: at rest, and while peers save and ours compacts."""

import threading
import time

from .client import BenchError
from .figures import half_rate
from .load import benchmark
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
        cells = {}
        for server in [*fleet.peers, fleet.ours]:
            say(f"{test} at {per_second:,}/s: {server.title}")
            cells[server.title] = generator.fixed_rate(
                server, test.lower(), per_second, plan.latency_seconds, plan.keyspace, plan.sizes[0])
        rows.append({"test": test, "per_second": per_second, "cells": cells})
    return rows


class Saving:
    """Keeps a peer saving: BGSAVE after BGSAVE, from entering to leaving."""

    def __init__(self, server):
        self.server = server
        self.saves = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        """Asks four times in a second whether the last one is through."""
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
        own = server.info("pmemkv")
        if int(own["allocated_bytes"]) >= FILLED_SHARE * int(own["pool_bytes"]):
            return keys
        generator.fill(server, keys, keys + step, plan.sizes[0])
        keys += step


def compaction_fields(server):
    """What INFO says of compaction, by field; empty for a layout that has none."""
    fields = server.info("pmemkv").items()
    return {name: int(value) for name, value in fields if "compact" in name and value.isdigit()}


def while_busy(fleet, generator, plan, rates):
    """One row like `at_rest`'s: GETs and SETs by halves, beside overwrites, with what each server did meanwhile."""
    peers = [peer.title for peer in fleet.peers]
    per_second = min(half_rate(rates, peers, test) for test in ("GET", "SET"))
    ours = fleet.ours
    say("filling a small pool")
    stand_in = isinstance(ours, StandIn)
    keys = plan.keyspace if stand_in else fill_pool(ours, generator, plan)

    def run(server):
        say(f"GET and SET at {per_second:,}/s while busy: {server.title}")
        return generator.fixed_rate(server, "mixed", per_second, plan.latency_seconds, keys, plan.sizes[0],
                                    OVERWRITES_PER_SECOND)

    cells, did = {}, {}
    if stand_in:
        cells[ours.title] = run(ours)
        did[ours.title] = "nothing else"
    else:
        # Once over the free part of the pool, so that it compacts from the first measured moment.
        requests = max(int(keys * plan.overwrite_share), 64 * 50)
        before = compaction_fields(ours)
        benchmark(ours, "SET", 64, keys, requests, plan.sizes[0])
        cells[ours.title] = run(ours)
        after = compaction_fields(ours)
        changes = [f"{name} +{after[name] - before.get(name, 0):,}" for name in after
                   if after[name] != before.get(name, 0)]
        did[ours.title] = ", ".join(changes) or "overwritten; its INFO shows no compaction"
    for peer in fleet.peers:
        with peer.client() as client:
            client.call("FLUSHALL")
        fill(generator, peer, keys, plan.sizes[0])
        with Saving(peer) as saving:
            cells[peer.title] = run(peer)
        did[peer.title] = f"BGSAVE {saving.saves} times"
    return {"test": "GET and SET, busy", "per_second": per_second, "keys": keys,
            "overwrites_per_second": OVERWRITES_PER_SECOND, "cells": cells, "did": did}
