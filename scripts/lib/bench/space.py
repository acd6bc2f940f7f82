"""Bytes of a key: strings and collections of few elements, beside the peers. The load of the machine does not change them."""

from .client import encode, key_of, value_of
from .figures import better
from .report import NONE, number, say, table
from .servers import Peer

KEYS = 300_000
QUICK_KEYS = 20_000
# Commands of one request while the servers are filled.
FILL_COMMANDS = 1_000
FEW = 10
# The one that the goals for lists, sets and sorted sets name, if it is there.
COMPARED = "newer Redis"
SHARE_GOAL = 1.1


def field_of(place):
    """A field's name: 7 bytes."""
    return b"field%02d" % place


def member_of(place):
    """A member or an element: 5 bytes."""
    return b"mem%02d" % place


def hash_of(fields):
    """What makes a hash of this many fields, each with a value of 16 bytes."""
    def command(key, number_of_it):
        words = (word for place in range(fields) for word in (field_of(place), b"%016d" % (number_of_it + place)))
        return [b"HSET", key, *words]
    return command


# For each row of the table, what makes a key of its number, and the most bytes that the project allows: a number, or `None`
# for SHARE_GOAL times what COMPARED takes.
SHAPES = {
    "string of 64 bytes": (lambda key, i: [b"SET", key, value_of(i, 64)], 125),
    "string of 64 bytes with a deadline": (lambda key, i: [b"SET", key, value_of(i, 64), b"EX", b"100000"], None),
    "string of 1 KiB": (lambda key, i: [b"SET", key, value_of(i, 1024)], None),
    "counter": (lambda key, i: [b"SET", key, b"%d" % (i + 100_000)], None),
    "hash of 1 field": (hash_of(1), 110),
    "hash of 5 fields": (hash_of(5), 215),
    "hash of 10 fields": (hash_of(FEW), 340),
    "list of 10 elements": (lambda key, i: [b"RPUSH", key, *map(member_of, range(FEW))], None),
    "set of 10 words": (lambda key, i: [b"SADD", key, *map(member_of, range(FEW))], None),
    "set of 10 integers": (lambda key, i: [b"SADD", key, *(b"%d" % (1000 + 7 * place) for place in range(FEW))], None),
    "sorted set of 10 members": (
        lambda key, i: [b"ZADD", key, *(word for place in range(FEW) for word in (b"%d" % place, member_of(place)))], None),
}


def held(server):
    """What the server says that its data take, and the process's own memory."""
    figures = {"process": server.dram_bytes()}
    if isinstance(server, Peer):
        figures["total"] = int(server.info("memory")["used_memory"])
    else:
        own = server.info("pmemkv")
        # The layout pairs has no records of its own: its pool's allocated bytes stand for them.
        figures["pool"] = int(own.get("live_bytes") or own["allocated_bytes"])
        figures["index"] = int(own["index_bytes"])
        figures["total"] = figures["pool"] + figures["index"]
    return figures


def measure_one(server, make, keys):
    """Bytes of one key, for each figure of `held`. The server starts empty."""
    server.empty()
    server.start_ready()
    before = held(server)
    with server.client() as client:
        for first in range(0, keys, FILL_COMMANDS):
            client.pipeline([encode(*make(key_of(i), i)) for i in range(first, min(first + FILL_COMMANDS, keys))])
    after = held(server)
    server.empty()
    return {name: (after[name] - before[name]) / keys for name in after}


def measure(fleet, quick):
    """{"keys", "rows": [{"shape", "cells": {title: figures}}]}."""
    keys, rows = QUICK_KEYS if quick else KEYS, []
    for shape, (make, _) in SHAPES.items():
        say(f"{keys:,} keys: {shape}")
        rows.append({"shape": shape, "cells": {server.title: measure_one(server, make, keys)
                                               for server in (*fleet.peers, fleet.ours)}})
    return {"keys": keys, "rows": rows}


def tables(result, ours):
    """The section of the report."""
    peers = [title for title in result["rows"][0]["cells"] if title != ours]
    lines = []
    for row in result["rows"]:
        cells = row["cells"]
        own = cells[ours]
        goal = SHAPES[row["shape"]][1]
        if goal is None and COMPARED in cells:
            goal = SHARE_GOAL * cells[COMPARED]["total"]
        least = better(cells, peers, "total", most=False)
        lines.append([row["shape"], *(number(cells[title]["total"], 1) for title in peers), number(own["pool"], 1),
                      number(own["index"], 1), number(own["total"], 1),
                      number(own["total"] / cells[least]["total"]) if least else NONE,
                      number(goal, 1) if goal is not None else NONE])
    return "\n\n".join([
        "### Bytes of a key",
        table(["", *peers, "pool", "index", ours, "ratio", "goal at most"], lines),
        f"{result['keys']:,} keys of 16 bytes, alone in the server. Fields have 7 bytes and their values 16, members and elements "
        f"5, integers 4. Peers: the growth of used_memory. {ours}: that of `live_bytes` (records in use) and of "
        f"`index_bytes` (DRAM). The ratio is to the least of the peers. A pool needs room beside its records, a peer beside "
        f"used_memory: see the tables of restarts for both.",
    ])
