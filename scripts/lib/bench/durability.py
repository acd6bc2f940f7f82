"""What durability on a disk costs: each write synced (AOF always, `durability power`), or a sync each second."""

import os

from . import latency, rates
from .figures import half_rate, ratio
from .load import CLIENTS
from .report import latency_table, number, rate_cell, say, table
from .servers import Ours, Peer, StandIn

PIPELINES = (1, 16, 64)
TEST = "SET"
VALUE_BYTES = 64
# How the peers' AOF is synced, what pmemkv-server calls the same, and the goal for the rate at each pipeline.
KINDS = (
    ("always", "power", 1.2),
    ("everysec", "everysec", 1.3),
)
POOL_BYTES = 1 << 30
# Several syncs fall into each run at a fixed rate.
SECONDS_MIN = 4.0


def make_servers(fleet, fsync, durability):
    """Peers with such an AOF, and pmemkv-server with its pool beside it."""
    made = []
    for peer in fleet.peers:
        folder = fleet.folder(f"{os.path.basename(peer.program)}-{fsync}")
        twin = Peer(peer.title, peer.program, folder, True, peer.io_threads)
        twin.fsync = fsync
        made.append(twin)
    given = fleet.ours
    if isinstance(given, StandIn):
        return [*made, fleet.make_ours(f"ours-{durability}")]
    ours = Ours(given.program, fleet.folder(f"ours-{durability}"), given.layout, given.engine, given.threads)
    ours.pool_bytes = POOL_BYTES
    ours.options = ("--durability", durability)
    return [*made, ours]


def measure(fleet, generator, plan):
    """For each kind: {"kind", "rows" as the rates', "latency" as `latency.at_rest` has it}."""
    measured = []
    for fsync, durability, goal in KINDS:
        servers = make_servers(fleet, fsync, durability)
        fleet.extra += servers
        for server in servers:
            say(f"{fsync}: filling {server.title}")
            server.start_ready()
            rates.fill(generator, server, plan.keyspace, VALUE_BYTES)
        rows = []
        for pipeline in PIPELINES:
            say(f"{fsync}: {TEST}, pipeline {pipeline}")
            cells = rates.measure_cell(servers, TEST, pipeline, plan.keyspace, VALUE_BYTES, plan.cell_seconds,
                                       plan.slices)
            rows.append({"test": TEST, "pipeline": pipeline, "cells": cells})
        per_second = half_rate(rows, [peer.title for peer in servers[:-1]], TEST)
        say(f"{fsync}: {TEST} at {per_second:,}/s")

        def run(server, per_second=per_second):
            seconds = max(plan.latency_seconds, SECONDS_MIN)
            return generator.fixed_rate(server, "set", per_second, seconds, plan.keyspace, VALUE_BYTES)

        cells = latency.in_turns(servers, plan.slices, run)
        at_rate = {"test": f"{TEST}, {fsync}", "per_second": per_second, "cells": cells}
        measured.append({"kind": fsync, "goal": goal, "rows": rows, "latency": at_rate})
        for server in servers:
            server.kill()
    return measured


def tables(measured, ours):
    """The rates of both kinds, then the latencies."""
    lines = []
    titles = [title for title in measured[0]["rows"][0]["cells"] if title != ours]
    for one in measured:
        for row in one["rows"]:
            cells = row["cells"]
            lines.append([f"{one['kind']}, pipeline {row['pipeline']}",
                          *(rate_cell(cells.get(title)) for title in [*titles, ours]),
                          number(ratio(cells, ours, titles, "per_second")), number(one["goal"]),
                          number(ratio(cells, ours, titles, "cpu_us", most=False))])
    return "\n\n".join([
        "### Durability on a disk",
        table(["SET of 64 B", *titles, ours, "ratio", "goal", "CPU ratio"], lines),
        f"{CLIENTS} clients; the peers with an AOF synced at every write or each second, pmemkv-server with a pool beside it "
        f"and `durability` `power` or `everysec`. Rate, CPU time of the server for each command, p50 / p99.",
        latency_table([one["latency"] for one in measured], ours),
        "At half of the best peer's rate at pipeline 1, each command timed from when it was due. Goal of the p99.9 "
        "ratio: 1.",
    ])

