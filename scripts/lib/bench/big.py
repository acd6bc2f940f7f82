"""Collections of a million elements: their space, a restart with them, the cost of single commands and of a DEL."""

import random
import statistics
import threading
import time

from .client import BenchError, encode
from .figures import ratio
from .lifecycle import space, space_figures, survives
from .report import NONE, number, per_key_total, say, table
from .servers import Peer

ELEMENTS = 1_000_000
QUICK_ELEMENTS = 50_000
FEW = 10
# Elements in a command that loads, and such commands in flight.
PER_COMMAND = 100
IN_FLIGHT = 10
# Commands that a single connection sends at once while their cost is measured.
PIPELINE = 16
CHECKED = 200
BACK_SECONDS_MAX = 60.0
# If this share of a collection's memory is free again, all of it counts as freed: pages and segments that hold other
# data too stay allocated.
BACK_SHARE = 0.95
SIZE_GOAL = 3.0
RESTART_GOAL = 0.3
DEL_GOAL_MS = 1.0


def field_of(place):
    """A field's or a member's name, as long as redis-benchmark's."""
    return b"element:%012d" % place


def score_of(place, count):
    """Scores whose order differs from that of the names."""
    return place * 7_919 % count


def load_command(kind, key, first, last, count):
    """The command, encoded, that adds elements `first` to `last` (without it) of `count`."""
    places = range(first, last)
    if kind == "hash":
        return encode("HSET", key, *(part for place in places for part in (field_of(place), b"%016x" % place)))
    if kind == "list":
        return encode("RPUSH", key, *(b"%016x" % place for place in places))
    if kind == "set":
        return encode("SADD", key, *map(field_of, places))
    if kind == "zset":
        return encode("ZADD", key,
                      *(part for place in places for part in (score_of(place, count), field_of(place))))
    raise ValueError(f"no kind {kind}")


def ask(kind, key, place, count):
    """A command for one element, and its right reply."""
    return {
        "hash": lambda: (("HGET", key, field_of(place)), b"%016x" % place),
        "list": lambda: (("LINDEX", key, place), b"%016x" % place),
        "set": lambda: (("SISMEMBER", key, field_of(place)), 1),
        "zset": lambda: (("ZSCORE", key, field_of(place)), b"%d" % score_of(place, count)),
    }[kind]()


KINDS = {"hash": "HLEN", "list": "LLEN", "set": "SCARD", "zset": "ZCARD"}


def load(server, kind, key, count):
    """Makes a collection of the elements 0 to `count`, quickly even if the server syncs each write."""
    server.before_filling()
    commands = [load_command(kind, key, first, min(first + PER_COMMAND, count), count)
                for first in range(0, count, PER_COMMAND)]
    with server.client() as client:
        for first in range(0, len(commands), IN_FLIGHT):
            client.pipeline(commands[first:first + IN_FLIGHT])
        if client.call(KINDS[kind], key) != count:
            raise BenchError(f"{server.title}: the {kind} has not all {count} elements")
    server.after_filling()


def load_all(server, count):
    """Makes the four big collections, and four of ten elements; returns bytes per element of each big one."""
    grown = {}
    for kind in KINDS:
        load(server, kind, f"few:{kind}", FEW)
        before = space_figures(server)
        load(server, kind, f"many:{kind}", count)
        grown[kind] = space(server, before, count)
    return grown


# Name: commands for a place, of a key that has the prefix; `fresh` is a number that no element has.
COSTS = {
    "HSET": lambda prefix, place, fresh, count: [("HSET", f"{prefix}:hash", field_of(place), b"%016x" % place)],
    "HGET": lambda prefix, place, fresh, count: [("HGET", f"{prefix}:hash", field_of(place))],
    "ZADD": lambda prefix, place, fresh, count: [("ZADD", f"{prefix}:zset", fresh % count, field_of(place))],
    "ZSCORE": lambda prefix, place, fresh, count: [("ZSCORE", f"{prefix}:zset", field_of(place))],
    "ZRANK": lambda prefix, place, fresh, count: [("ZRANK", f"{prefix}:zset", field_of(place))],
    "SADD, SREM": lambda prefix, place, fresh, count: [("SADD", f"{prefix}:set", field_of(fresh)),
                                                       ("SREM", f"{prefix}:set", field_of(fresh))],
    "LINDEX 0": lambda prefix, place, fresh, count: [("LINDEX", f"{prefix}:list", 0)],
    "LPUSH, LPOP": lambda prefix, place, fresh, count: [("LPUSH", f"{prefix}:list", b"%016x" % fresh),
                                                        ("LPOP", f"{prefix}:list")],
}


def batches(test, prefix, count, commands):
    """Encoded commands of the test in pipelines, each for an element drawn at random."""
    made = []
    while len(made) < commands:
        fresh = 10**11 + random.randrange(10**11)
        made += [encode(*one) for one in COSTS[test](prefix, random.randrange(count), fresh, count)]
    return [made[first:first + PIPELINE] for first in range(0, len(made), PIPELINE)]


def cpu_per_command(server, made):
    """The server's microseconds per command."""
    with server.client() as client:
        client.call("PING")
        began = server.threads_cpu_seconds()
        for batch in made:
            client.pipeline(batch)
        used = server.threads_cpu_seconds() - began
    return used * 1e6 / sum(map(len, made))


def costs(servers, count, commands, turns):
    """A row for each test: {"test", "cells": {title: {"few_us", "many_us"}}}; sizes and servers take turns."""
    rows = []
    for test in COSTS:
        say(f"{test} on {FEW} and on {count:,} elements")
        runs = {server.title: {"few_us": [], "many_us": []} for server in servers}
        # The first turn warms up and is not counted.
        for turn in range(turns + 1):
            for server in servers:
                for figure, prefix, size in (("few_us", "few", FEW), ("many_us", "many", count)):
                    used = cpu_per_command(server, batches(test, prefix, size, commands))
                    if turn:
                        runs[server.title][figure].append(used)
        rows.append({"test": test, "cells": {
            title: {figure: statistics.median(values) for figure, values in have.items()}
            for title, have in runs.items()}})
    return rows


def restart(server, count):
    """{kind: seconds} from the start after a kill -9 to the first right reply of each kind; then all is checked."""
    if server.saves:
        with server.client() as client:
            client.call("SAVE")
    server.kill()
    seconds, errors = {}, []

    def wait(kind):
        command, wanted = ask(kind, f"many:{kind}", random.randrange(count), count)
        try:
            server.wait_until(lambda client: client.call(*command) == wanted)
            seconds[kind] = time.monotonic() - began
        except (BenchError, OSError) as error:
            errors.append(str(error))

    began = time.monotonic()
    server.start()
    waiting = [threading.Thread(target=wait, args=(kind,)) for kind in KINDS]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join()
    if errors:
        raise BenchError(errors[0])
    seconds["last"] = max(seconds.values())
    check(server, count)
    return seconds


def check(server, count):
    """Counts all elements and reads some of them."""
    with server.client() as client:
        for kind, length in KINDS.items():
            if client.call(length, f"many:{kind}") != count:
                raise BenchError(f"{server.title}: the {kind} has not all {count} elements after the restart")
            for place in random.sample(range(count), CHECKED):
                command, wanted = ask(kind, f"many:{kind}", place, count)
                if client.call(*command) != wanted:
                    raise BenchError(f"{server.title}: element {place} of the {kind} is wrong after the restart")


def held(server):
    """The bytes of data that the server reports; DEL must free them."""
    figures = space_figures(server)
    return figures["used_memory"] if isinstance(server, Peer) else figures["allocated_bytes"] + figures["index_bytes"]


def delete(server, command, count):
    """How long the reply takes, and how long until the hash's memory is free."""
    before = held(server)
    load(server, "hash", "deleted", count)
    full = held(server)
    with server.client() as client:
        client.call("PING")
        began = time.monotonic()
        client.call(command, "deleted")
        reply = time.monotonic() - began
    while True:
        back = (full - held(server)) / (full - before)
        passed = time.monotonic() - began
        if back >= BACK_SHARE:
            return {"reply_ms": reply * 1000, "back_ms": passed * 1000, "back_share": back}
        if passed > BACK_SECONDS_MAX:
            return {"reply_ms": reply * 1000, "back_ms": None, "back_share": back}
        time.sleep(0.001)


def deletes(servers, count, turns):
    """A row for DEL and for UNLINK; the servers take turns."""
    rows = []
    for command in ("DEL", "UNLINK"):
        runs = {server.title: [] for server in servers}
        for _ in range(turns):
            for server in servers:
                say(f"{command} of a hash of {count:,} elements: {server.title}")
                runs[server.title].append(delete(server, command, count))
        rows.append({"test": command, "cells": {title: merge_deletes(have) for title, have in runs.items()}})
    return rows


def merge_deletes(turns):
    """Medians; no time for the memory if it was not freed in one turn."""
    merged = {name: statistics.median(one[name] for one in turns) for name in ("reply_ms", "back_share")}
    times = [one["back_ms"] for one in turns]
    merged["back_ms"] = None if None in times else statistics.median(times)
    return merged


def measure(fleet, plan, quick):
    """{"elements", "space", "restarts", "costs", "deletes"}."""
    count, turns, commands = (QUICK_ELEMENTS, 1, 4_000) if quick else (ELEMENTS, 3, 20_000)
    # The pairs layout takes some 500 bytes an element.
    fleet.ours.pool_bytes = max(plan.pool_bytes, (len(KINDS) + 1) * count * 700)
    servers, grown = [*fleet.peers, fleet.ours], {}
    for server in fleet.all():
        say(f"four collections of {count:,} elements: {server.title}")
        server.empty()
        server.start_ready()
        grown[server.title] = load_all(server, count)
    rounds = {server.title: [] for server in fleet.all() if survives(server)}
    for turn in range(turns):
        for server in fleet.all():
            if server.title in rounds:
                say(f"restart {turn + 1}: {server.title}")
                rounds[server.title].append(restart(server, count))
    for server in fleet.aofs:
        server.empty()
    restarts = {title: {name: statistics.median(one[name] for one in have) for name in have[0]}
                for title, have in rounds.items()}
    result = {"elements": count, "space": grown, "restarts": restarts,
              "costs": costs(servers, count, commands, turns), "deletes": deletes(servers, count, turns)}
    for server in servers:
        server.empty()
    return result


def tables(result, ours):
    """The part's tables, in markdown."""
    count = result["elements"]
    return "\n\n".join([
        f"### kill -9 and restart with four collections of {count:,} elements", restart_table(result["restarts"], ours),
        f"Seconds from the start of the server to the first right reply of each, asked all at once. Goal of the ratio "
        f"to the better RDB load: at most {RESTART_GOAL}. The AOF holds {PER_COMMAND} elements a command.",
        f"### Space of collections of {count:,} elements", space_table(result["space"], ours),
        "Names of 20 bytes, values of 16. The ratio is the pool's bytes and all DRAM (the growth of the process's "
        "anonymous memory) to the least used_memory of the peers.",
        f"### Server CPU per command on {FEW} and on {count:,} elements", cost_table(result["costs"], ours),
        f"us of one connection's commands at pipeline {PIPELINE}, elements drawn at random; HSET and ZADD change what "
        f"is there, and of pairs it is the mean of both commands. Growth is the many over the few, goal at most "
        f"{SIZE_GOAL:g}.",
        f"### Deleting a hash of {count:,} elements", delete_table(result["deletes"]),
        f"Goal of the reply: under {DEL_GOAL_MS:g} ms. Its memory is back when the server counts {BACK_SHARE:.0%} of "
        f"it as free.",
    ])


def restart_table(cells, ours):
    """A row for each server; the ratios are of the last reply."""
    rdb = [title for title in cells if title != ours and "AOF" not in title]
    aof = [title for title in cells if title != ours and "AOF" in title]
    lines = []
    for title, cell in cells.items():
        ratios = [ratio(cells, title, peers, "last", most=False) if title == ours else None for peers in (rdb, aof)]
        lines.append([title, *(number(cell[name], 3) for name in (*KINDS, "last")),
                      *(number(one) for one in ratios)])
    return table(["s from the start", *KINDS, "all four", "to RDB load", "to AOF replay"], lines)


def space_table(grown, ours):
    """A row for each kind and server; AOF twins hold the same in memory."""
    lines = []
    for kind in KINDS:
        cells = {title: have[kind] for title, have in grown.items() if "AOF" not in title}
        least = min((cell["used_memory"] for cell in cells.values() if "used_memory" in cell), default=None)
        for title, cell in cells.items():
            total = per_key_total(cell)
            share = total / least if title == ours and least and total is not None else None
            lines.append([f"{kind}, {title}", number(cell.get("allocated_bytes"), 1),
                          number(cell.get("index_bytes"), 1), number(cell["dram_bytes"], 1),
                          number(cell.get("used_memory"), 1), number(share)])
    return table(["bytes per element", "pool in use", "index", "DRAM", "used_memory", "ratio"], lines)


def cost_table(rows, ours):
    """A row for each test: few, many and growth of each server, then ours to the better peer at both sizes."""
    titles = list(rows[0]["cells"])
    peers = [title for title in titles if title != ours]
    lines = []
    for row in rows:
        cells = row["cells"]
        shown = [f"{cell['few_us']:.2f} / {cell['many_us']:.2f}, growth {cell['many_us'] / cell['few_us']:.2f}"
                 for cell in (cells[title] for title in titles)]
        lines.append([row["test"], *shown, *(number(ratio(cells, ours, peers, figure, most=False))
                                             for figure in ("few_us", "many_us"))])
    return table(["us per command", *titles, "ratio, few", "ratio, many"], lines)


def delete_table(rows):
    """A row for each command and server."""
    lines = []
    for row in rows:
        for title, cell in row["cells"].items():
            back = NONE if cell["back_ms"] is None else number(cell["back_ms"], 1)
            lines.append([f"{row['test']}, {title}", number(cell["reply_ms"], 3), back, f"{cell['back_share']:.0%}"])
    return table(["", "reply, ms", "memory back, ms", "share that came back"], lines)
