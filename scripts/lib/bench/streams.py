"""Streams: rates of adding, reading and delivering, space, and a restart with a million entries."""

import socket
import statistics
import subprocess
import time

from .client import BenchError, Client, encode
from .collections import prepare
from .figures import merge_slices, parse_benchmark, ratio
from .lifecycle import space, space_figures, survives
from .load import CLIENTS, SECONDS_MAX
from .report import number, per_key_total, rate_cell, say, table

ENTRIES = 1_000_000
QUICK_ENTRIES = 50_000
PENDING_SHARE = 0.1
# Three fields with 100 bytes in all.
NAMES = (b"first", b"other", b"third")
VALUE_BYTES = (28, 28, 29)
KEY = "stream"
GROUP = "group"
# The milliseconds of the first id: all ids are as long as those of today, and a digit before a random number is in reach.
FIRST = 10**12
# How many entries a read returns, and how many commands or pairs one connection sends at once while they are delivered.
COUNT = 100
BATCH = 16
PER_READ_OF_GROUP = 1000

RANDOM = "__rand_int__"
ADD = ["XADD", KEY, "*", *(part for name, size in zip(NAMES, VALUE_BYTES)
                           for part in (name.decode(), "x" * (size - len(RANDOM)) + RANDOM))]
RANDOM_ID = f"1{RANDOM}"
# {test: (redis-benchmark's arguments, pipelines)}
TESTS = {
    "XADD": (ADD, (1, 16, 64)),
    "XRANGE of 100": (["XRANGE", KEY, RANDOM_ID, "+", "COUNT", str(COUNT)], (1, 16)),
    "XREAD of 100": (["XREAD", "COUNT", str(COUNT), "STREAMS", KEY, RANDOM_ID], (1, 16)),
}
PAIRS = "XREADGROUP of 1 and XACK"
# The project's goals for the ratio to the better peer.
GOALS = {("XADD", 1): 1.0, ("XADD", 16): 1.1, ("XADD", 64): 1.1, ("XRANGE of 100", 1): 1.0, ("XRANGE of 100", 16): 1.0,
         ("XREAD of 100", 1): 1.0, ("XREAD of 100", 16): 1.0, (PAIRS, BATCH): 0.9}
SPACE_GOAL = 1.5
# A pool in which the server must win back what full nodes have replaced.
SMALL_POOL_BYTES = 150
SMALL_POOL_BYTES_MIN = 32 << 20
RESTART_GOAL = 0.3


def values_of(number):
    """The values of the entry, which only this one has."""
    return [(b"%016x" % number * 2)[:size] for size in VALUE_BYTES]


def entry_of(number):
    """The entry as the servers return it."""
    fields = [part for name, value in zip(NAMES, values_of(number)) for part in (name, value)]
    return [b"%d-1" % (FIRST + number), fields]


def add_of(number):
    """The command, encoded, that adds the entry."""
    identity, fields = entry_of(number)
    return encode("XADD", KEY, identity, *fields)


def load(server, entries):
    """Adds the entries 0 to `entries`, quickly even if the server syncs each write."""
    server.before_filling()
    with server.client() as client:
        client.call("XGROUP", "CREATE", KEY, GROUP, "0", "MKSTREAM")
        for first in range(0, entries, 1000):
            client.pipeline([add_of(number) for number in range(first, min(first + 1000, entries))])
        if client.call("XLEN", KEY) != entries:
            raise BenchError(f"{server.title}: the stream has not all {entries} entries")
    server.after_filling()


def deliver(server, entries):
    """Delivers the first entries, which stay pending."""
    with server.client() as client:
        for _ in range(entries // PER_READ_OF_GROUP):
            client.call("XREADGROUP", "GROUP", GROUP, "consumer", "COUNT", PER_READ_OF_GROUP, "STREAMS", KEY, ">")


def run(server, command, pipeline, requests, highest):
    """One run of redis-benchmark: rate, latencies, commands and the server's CPU seconds."""
    argv = ["redis-benchmark", "-p", str(server.port), "-P", str(pipeline), "-c", str(CLIENTS),
            "-r", str(highest), "-n", str(requests), "--csv", *command]
    cpu = server.threads_cpu_seconds()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    cpu = server.threads_cpu_seconds() - cpu
    if done.returncode or "rror" in done.stdout + done.stderr:
        raise BenchError(f"{server.title}: redis-benchmark {command[0]}: {(done.stderr or done.stdout).strip()[:300]}")
    return {**parse_benchmark(done.stdout), "commands": requests, "cpu_seconds": cpu}


def receive(connection, wanted):
    """Reads that many bytes and returns the last few."""
    last = b""
    while wanted:
        last = connection.recv(min(wanted, 1 << 18))
        if not last:
            raise BenchError("the server closed the connection")
        wanted -= len(last)
    return last


def run_pairs(server, entries):
    """One consumer reads an entry and acknowledges it, again and again. It knows the ids and the length of each reply
    beforehand, so that the load program does nothing but send and receive."""
    with server.client() as client:
        client.call("XGROUP", "CREATE", KEY, "pairs", "0")
    batches = []
    for first in range(0, entries, BATCH):
        numbers = range(first, min(first + BATCH, entries))
        sent = b"".join(
            encode("XREADGROUP", "GROUP", "pairs", "consumer", "COUNT", 1, "STREAMS", KEY, ">")
            + encode("XACK", KEY, "pairs", b"%d-1" % (FIRST + number)) for number in numbers)
        batches.append((sent, len(numbers)))
    reply = len(encoded_reply([[KEY.encode(), [entry_of(0)]]])) + len(b":1\r\n")
    cpu, times = server.threads_cpu_seconds(), []
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS_MAX) as connection:
        began = time.monotonic()
        for sent, pairs in batches:
            start = time.monotonic()
            connection.sendall(sent)
            if not receive(connection, reply * pairs).endswith(b":1\r\n"):
                raise BenchError(f"{server.title}: XACK did not answer 1")
            times.append(time.monotonic() - start)
        seconds = time.monotonic() - began
    cpu = server.threads_cpu_seconds() - cpu
    with server.client() as client:
        if client.call("XPENDING", KEY, "pairs")[0] != 0:
            raise BenchError(f"{server.title}: entries are pending that were acknowledged")
        client.call("XGROUP", "DESTROY", KEY, "pairs")
    times.sort()
    return {"per_second": entries / seconds, "p50_ms": times[len(times) // 2] * 1000,
            "p99_ms": times[len(times) * 99 // 100] * 1000, "commands": entries, "cpu_seconds": cpu}


def encoded_reply(value):
    """The bytes of a reply that consists of arrays and strings."""
    if isinstance(value, bytes):
        return b"$%d\r\n%b\r\n" % (len(value), value)
    return b"*%d\r\n%b" % (len(value), b"".join(map(encoded_reply, value)))


def cell(servers, turns, measure_one):
    """{title: figures}; the servers take turns."""
    runs = {server.title: [] for server in servers}
    for turn in range(turns):
        for server in servers[turn % len(servers):] + servers[:turn % len(servers)]:
            runs[server.title].append(measure_one(server))
    return {title: merge_slices(cells) for title, cells in runs.items()}


def add_rates(servers, quick, turns):
    """XADD to an empty stream."""
    rows = []
    command, pipelines = TESTS["XADD"]
    for pipeline in pipelines:
        say(f"XADD, pipeline {pipeline}")
        requests = (20_000 if quick else 100_000) * (1 if pipeline == 1 else 4)

        def one(server):
            prepare(server, "xadd", requests)
            return run(server, command, pipeline, requests, ENTRIES)

        rows.append({"test": "XADD", "pipeline": pipeline, "cells": cell(servers, turns, one)})
    return rows


def read_rates(servers, entries, quick, turns):
    """Reads from a stream of all entries, and deliveries to a group."""
    rows = []
    for test, (command, pipelines) in TESTS.items():
        if test == "XADD":
            continue
        for pipeline in pipelines:
            say(f"{test}, pipeline {pipeline}")
            # Each read begins somewhere in the first nine tenths, so that a hundred entries follow.
            requests = 5_000 if quick else 40_000
            rows.append({"test": test, "pipeline": pipeline, "cells": cell(
                servers, turns, lambda server: run(server, command, pipeline, requests, entries * 9 // 10))})
    say(PAIRS)
    rows.append({"test": PAIRS, "pipeline": BATCH, "cells": cell(
        servers, turns, lambda server: run_pairs(server, entries // 4))})
    return rows


def live_bytes(server):
    """The pool's bytes that hold records that count; None for a peer."""
    live = server.info("pmemkv").get("live_bytes", "")
    return int(live) if live.isdigit() else None


def grow(server, entries):
    """Makes the stream; returns bytes per entry."""
    before, live_before = space_figures(server), live_bytes(server)
    load(server, entries)
    live = live_bytes(server)
    return {**space(server, before, entries),
            "live_bytes": None if live is None or live_before is None else (live - live_before) / entries}


def restart(server, entries, pending):
    """Seconds from the start after a kill -9 to the first right entry, and to the right number of pending ones."""
    if server.saves:
        with server.client() as client:
            client.call("SAVE")
    server.kill()
    began = time.monotonic()
    server.start()
    last = entry_of(entries - 1)
    server.wait_until(lambda client: client.call("XREVRANGE", KEY, "+", "-", "COUNT", 1) == [last])
    first_entry = time.monotonic() - began
    server.wait_until(lambda client: client.call("XPENDING", KEY, GROUP)[0] == pending)
    seconds = {"first_entry": first_entry, "pending": time.monotonic() - began}
    with server.client() as client:
        if client.call("XLEN", KEY) != entries:
            raise BenchError(f"{server.title}: the stream has not all entries after the restart")
        for place in (0, entries // 3, entries // 2):
            identity = entry_of(place)[0]
            if client.call("XRANGE", KEY, identity, identity) != [entry_of(place)]:
                raise BenchError(f"{server.title}: entry {place} is wrong after the restart")
    return seconds


def measure(fleet, quick):
    """{"entries", "pending", "rates", "space", "restarts"}."""
    entries, turns = (QUICK_ENTRIES, 1) if quick else (ENTRIES, 3)
    pending = int(entries * PENDING_SHARE)
    servers = [*fleet.peers, fleet.ours]
    for server in fleet.all():
        server.empty()
    for server in servers:
        server.start_ready()
    rows = add_rates(servers, quick, turns)
    grown, restarts = {}, {}
    for server in servers:
        server.empty()
        server.start_ready()
        say(f"a stream of {entries:,} entries: {server.title}")
        grown[server.title] = grow(server, entries)
    small = fleet.make_ours("small", title=f"{fleet.ours.title}, small pool")
    fleet.extra.append(small)
    small.pool_bytes = max(entries * SMALL_POOL_BYTES, SMALL_POOL_BYTES_MIN)
    small.start_ready()
    grown[small.title] = grow(small, entries)
    small.empty()
    rows += read_rates(servers, entries, quick, turns)
    for server in servers:
        deliver(server, pending)
    for server in servers:
        if survives(server):
            say(f"restart: {server.title}")
            rounds = [restart(server, entries, pending) for _ in range(turns)]
            restarts[server.title] = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    for server in servers:
        server.empty()
    return {"entries": entries, "pending": pending, "rates": rows, "space": grown, "restarts": restarts}


def tables(result, ours):
    """The part's tables, in markdown."""
    entries, pending = result["entries"], result["pending"]
    return "\n\n".join([
        "### Streams", rate_table(result["rates"], ours),
        f"Requests per second, server CPU per request, p50 / p99. XADD with an id of the server's and three fields of "
        f"100 bytes in all, into an empty stream; reads begin anywhere in a stream of {entries:,} such entries. "
        f"{CLIENTS} clients; of the pairs one connection sends {BATCH} at once, and its times are of such a batch.",
        f"### Space of a stream of {entries:,} entries", space_table(result["space"], ours),
        f"The ratio is the pool's bytes in use and all DRAM (the growth of the process's anonymous memory and of the "
        f"index) to the least used_memory of the peers. Segments that an idle server makes ahead do not count: 128 MiB at "
        f"most, whatever the data. A full node replaces the records of its entries; the server wins their place back "
        f"when it needs it, as in the small pool, which has {SMALL_POOL_BYTES} bytes an entry.",
        f"### kill -9 and restart with {entries:,} entries, {pending:,} of them pending",
        restart_table(result["restarts"], ours),
        "Seconds from the start of the server to the last entry, and to the right number of pending ones.",
    ])


def rate_table(rows, ours):
    """A row for each test and pipeline."""
    titles = [title for title in rows[0]["cells"] if title != ours]
    return table(["", *titles, ours, "ratio", "goal", "CPU ratio"], [
        [f"{row['test']}, pipeline {row['pipeline']}",
         *(rate_cell(row["cells"].get(title)) for title in [*titles, ours]),
         number(ratio(row["cells"], ours, titles, "per_second")),
         number(GOALS.get((row["test"], row["pipeline"]))),
         number(ratio(row["cells"], ours, titles, "cpu_us", most=False))] for row in rows])


def space_table(grown, ours):
    """A row for each server."""
    least = min((cell["used_memory"] for cell in grown.values() if "used_memory" in cell), default=None)
    lines = []
    for title, figures in grown.items():
        total = per_key_total(figures)
        is_ours = title.startswith(ours)
        share = total / least if is_ours and least and total is not None else None
        lines.append([title, number(figures.get("allocated_bytes"), 1), number(figures.get("live_bytes"), 1),
                      number(figures["dram_bytes"], 1), number(figures.get("used_memory"), 1), number(share),
                      number(SPACE_GOAL) if is_ours else ""])
    return table(["bytes per entry", "pool in use", "of it live", "DRAM", "used_memory", "ratio", "goal at most"], lines)


def restart_table(cells, ours):
    """A row for each server; the ratio is of the pending entries."""
    peers = [title for title in cells if title != ours]
    return table(["s from the start", "last entry", "pending", "ratio", "goal at most"], [
        [title, number(figures["first_entry"], 3), number(figures["pending"], 3),
         number(ratio(cells, ours, peers, "pending", most=False) if title == ours else None),
         number(RESTART_GOAL) if title == ours else ""] for title, figures in cells.items()])
