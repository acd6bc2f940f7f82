"""Instructions that a server's thread executes for a command, counted by callgrind: the same on a busy machine as on an
idle one. It counts what runs outside the kernel."""

import glob
import hashlib
import itertools
import os
import random
import shutil
import subprocess
import time

from . import scripting
from .client import BenchError, encode, key_of, value_of
from .figures import better
from .load import CLIENTS
from .report import NONE, number, say, table
from .servers import Ours

PIPELINES = (1, 16)
# Batches that each client sends before the counting begins, and while it goes on.
WARM_BATCHES = 4
BATCHES = {1: 40, 16: 8}
STRINGS = 20_000
# Collections of few elements, from which each command draws one.
SMALL = 2_000
SMALL_ELEMENTS = 16
# Elements of the one collection that all commands share. A list is popped and pushed as often as it has elements.
LARGE_ELEMENTS = 20_000
VALUE_BYTES = 64
# Commands of one request while the servers are filled.
FILL_COMMANDS = 500
# Ids of a stream's entries lie one millisecond apart, from this one on: long before those that a server gives.
FIRST_MS = 10**12
# How often a test's command is called, with what comes before the counting.
CALLS = CLIENTS * sum(pipeline * (max(1, WARM_BATCHES // pipeline) + BATCHES[pipeline]) for pipeline in PIPELINES)


def element(number_of_it):
    """An element's name, 16 bytes."""
    return b"element:%08d" % number_of_it


def string(draw):
    """One of the strings' keys."""
    return key_of(draw.randrange(STRINGS))


def small(kind, draw):
    """The key of one of the collections of few elements."""
    return b"%b:%09d" % (kind, draw.randrange(SMALL))


def among(draw, count):
    """One of `count` elements."""
    return element(draw.randrange(count))


def several(draw, command, values):
    """MGET or MSET of ten keys."""
    words = [command]
    for _ in range(10):
        words.append(string(draw))
        if values:
            words.append(value_of(draw.randrange(STRINGS), VALUE_BYTES))
    return words


def entry(first):
    """The fields of a stream's entry: 100 bytes in all."""
    return [b"first", b"%028d" % first, b"other", b"%028d" % first, b"third", b"%029d" % first]


def entry_id(number_of_it):
    """The id of a stream's entry."""
    return b"%d-1" % (FIRST_MS + number_of_it)


# The scripts whose rates are compared.
INCR, LIMITER = scripting.INCR.encode(), scripting.LIMITER.encode()


def sha1(script):
    """The name of a script."""
    return hashlib.sha1(script).hexdigest().encode()


def counter(draw):
    """The key of a number."""
    return b"counter:%012d" % draw.randrange(STRINGS)


def digits(draw):
    """A random number as redis-benchmark writes it."""
    return b"%012d" % draw.randrange(scripting.KEYS)


# Each server gets every id once, one after the other.
ACKNOWLEDGED = itertools.cycle(range(CALLS))


# For each row of the table, what makes a command. The first words of a row's name are the command.
COMMANDS = {
    "GET": lambda draw: [b"GET", string(draw)],
    "SET": lambda draw: [b"SET", string(draw), value_of(draw.randrange(STRINGS), VALUE_BYTES)],
    "INCR": lambda draw: [b"INCR", counter(draw)],
    "MGET of 10": lambda draw: several(draw, b"MGET", False),
    "MSET of 10": lambda draw: several(draw, b"MSET", True),
    "EXPIRE": lambda draw: [b"EXPIRE", string(draw), b"%d" % draw.randrange(10_000, 20_000)],
    "LPUSH": lambda draw: [b"LPUSH", small(b"list", draw), among(draw, LARGE_ELEMENTS)],
    "RPUSH": lambda draw: [b"RPUSH", small(b"list", draw), among(draw, LARGE_ELEMENTS)],
    "LPOP": lambda draw: [b"LPOP", small(b"list", draw)],
    "SADD": lambda draw: [b"SADD", small(b"set", draw), among(draw, 2 * SMALL_ELEMENTS)],
    "SPOP": lambda draw: [b"SPOP", small(b"set", draw)],
    "HSET": lambda draw: [b"HSET", small(b"hash", draw), among(draw, SMALL_ELEMENTS), b"%016d" % draw.randrange(10**9)],
    "HGETALL": lambda draw: [b"HGETALL", small(b"hash", draw)],
    "ZADD": lambda draw: [b"ZADD", small(b"zset", draw), b"%d" % draw.randrange(1000), among(draw, SMALL_ELEMENTS)],
    "ZRANGE": lambda draw: [b"ZRANGE", small(b"zset", draw), b"0", b"9"],
    "LPUSH, one list": lambda draw: [b"LPUSH", b"list", among(draw, LARGE_ELEMENTS)],
    "RPUSH, one list": lambda draw: [b"RPUSH", b"list", among(draw, LARGE_ELEMENTS)],
    "LPOP, one list": lambda draw: [b"LPOP", b"list"],
    "LRANGE_100, one list": lambda draw: [b"LRANGE", b"list", b"0", b"99"],
    "SADD, one set": lambda draw: [b"SADD", b"set", among(draw, 2 * LARGE_ELEMENTS)],
    "SPOP, one set": lambda draw: [b"SPOP", b"set"],
    "HSET, one hash": lambda draw: [b"HSET", b"hash", among(draw, LARGE_ELEMENTS), b"%016d" % draw.randrange(10**9)],
    "ZADD, one sorted set": lambda draw: [b"ZADD", b"zset", b"%d" % draw.randrange(1000), among(draw, LARGE_ELEMENTS)],
    "ZRANGE of 10, one sorted set": lambda draw: [b"ZRANGE", b"zset", b"100", b"109"],
    "XADD": lambda draw: [b"XADD", b"stream", b"*", *entry(draw.randrange(10**9))],
    "XRANGE of 100": lambda draw: [
        b"XRANGE", b"stream", entry_id(draw.randrange(LARGE_ELEMENTS - 100)), b"+", b"COUNT", b"100"],
    "XREADGROUP of 1": lambda draw: [
        b"XREADGROUP", b"GROUP", b"read", b"consumer", b"COUNT", b"1", b"STREAMS", b"stream", b">"],
    "XACK": lambda draw: [b"XACK", b"stream", b"acknowledged", entry_id(next(ACKNOWLEDGED))],
    "EVAL of return 1": lambda draw: [b"EVAL", b"return 1", b"0"],
    "EVAL of one INCR": lambda draw: [b"EVAL", INCR, b"1", counter(draw)],
    "EVALSHA of one INCR": lambda draw: [b"EVALSHA", sha1(INCR), b"1", counter(draw)],
    "EVALSHA of 20 calls": lambda draw: [
        b"EVALSHA", sha1(LIMITER), b"1", small(b"limit", draw), digits(draw), b"1000", digits(draw)],
}
# What pmemkv-server sets for a pool in /dev/shm.
ENVIRONMENT = ("PMEM_IS_PMEM_FORCE=1", "PMEM_NO_FLUSH=1", "PMEM_NO_MOVNT=1")
# A peer's own timer runs on the thread that serves; callgrind makes it fifty times as frequent, seen from the commands.
QUIET = ("--hz", "1", "--dynamic-hz", "no")
# How often the files of counts are looked at until callgrind has written them.
WRITING_LOOKS_MAX = 1500
# A server rests where no thread executes more in half a second, and it is waited for so many times.
REST_INSTRUCTIONS = 500_000
RESTS_MAX = 120


def read_totals(prefix):
    """{callgrind's number of a thread: the total of its file, or None where the file is not complete}."""
    found = {}
    for path in glob.glob(f"{glob.escape(prefix)}*"):
        with open(path, errors="replace") as file:
            totals = [int(line.split()[1]) for line in file if line.startswith("totals:")]
        found[path.rsplit("-", 1)[1]] = totals[0] if totals else None
    return found


class Counted:
    """A server under callgrind."""

    def __init__(self, server):
        self.server = server
        self.out = os.path.join(server.folder, "counts")
        self.serving = None
        plain = server.argv
        server.argv = lambda: [
            "env", *ENVIRONMENT, "valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes",
            f"--callgrind-out-file={self.out}", *plain(), *([] if isinstance(server, Ours) else QUIET)]

    def control(self, *arguments):
        """Tells callgrind something; it answers when it has done it."""
        argv = ["callgrind_control", *arguments, str(self.server.process.pid)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise BenchError(f"callgrind_control: {(done.stderr or done.stdout).strip()[:300]}")

    def by_thread(self):
        """{callgrind's number of a thread: what it has executed since the counts were set to zero}; sets them to zero."""
        for path in glob.glob(f"{glob.escape(self.out)}*"):
            os.unlink(path)
        self.control("-d")
        before = None
        for _ in range(WRITING_LOOKS_MAX):
            found = read_totals(self.out)
            # Callgrind may still write the files of other threads.
            if found and None not in found.values() and found == before:
                return found
            before = found
            time.sleep(0.02)
        raise BenchError(f"{self.server.title}: callgrind wrote no counts")

    def wait_for_rest(self):
        """Waits until no thread has much to do: the store's prepares space after it was filled."""
        for _ in range(RESTS_MAX):
            self.control("-z")
            time.sleep(0.5)
            if max(self.by_thread().values()) < REST_INSTRUCTIONS:
                return
        raise BenchError(f"{self.server.title} does not come to rest")

    def find_serving(self, clients):
        """Finds the thread that serves the clients: the busiest one while they only say PING. Later the store's thread may
        execute more, which prepares space for what comes."""
        self.wait_for_rest()
        self.control("-z")
        send_all(clients, lambda _: [b"PING"], 16, WARM_BATCHES, None)
        counts = self.by_thread()
        self.serving = max(counts, key=counts.get)

    def instructions(self):
        """What the thread that serves has executed since the counts were set to zero, and sets them to zero."""
        return self.by_thread()[self.serving]


def fill(server):
    """All that the commands find."""
    draw = random.Random(1)
    commands = [encode(b"SET", key_of(i), value_of(i, VALUE_BYTES)) for i in range(STRINGS)]
    commands += [encode(b"SET", b"counter:%012d" % i, b"0") for i in range(STRINGS)]
    for i in range(SMALL):
        elements = [element(k) for k in range(SMALL_ELEMENTS)]
        commands += [
            encode(b"RPUSH", b"list:%09d" % i, *elements),
            encode(b"SADD", b"set:%09d" % i, *elements),
            encode(b"HSET", b"hash:%09d" % i, *(word for name in elements for word in (name, b"%016d" % i))),
            encode(b"ZADD", b"zset:%09d" % i, *(word for name in elements for word in (b"%d" % draw.randrange(1000), name))),
        ]
    for first in range(0, LARGE_ELEMENTS, 100):
        elements = [element(k) for k in range(first, first + 100)]
        commands += [
            encode(b"RPUSH", b"list", *elements),
            encode(b"SADD", b"set", *elements),
            encode(b"HSET", b"hash", *(word for name in elements for word in (name, b"%016d" % first))),
            encode(b"ZADD", b"zset", *(word for name in elements for word in (b"%d" % draw.randrange(1000), name))),
        ]
    commands += [encode(b"XADD", b"stream", entry_id(i), *entry(i)) for i in range(LARGE_ELEMENTS)]
    commands += [encode(b"XGROUP", b"CREATE", b"stream", group, b"0") for group in (b"read", b"acknowledged")]
    commands.append(encode(b"XREADGROUP", b"GROUP", b"acknowledged", b"consumer", b"COUNT", b"%d" % CALLS,
                           b"STREAMS", b"stream", b">"))
    with server.client() as client:
        for first in range(0, len(commands), FILL_COMMANDS):
            client.pipeline(commands[first:first + FILL_COMMANDS])
        for script in (INCR, LIMITER):
            client.call("SCRIPT", "LOAD", script)


def send_all(clients, make, pipeline, batches, draw):
    """Every client sends a batch, then every client reads its replies: so the server finds all of them waiting."""
    for _ in range(batches):
        sent = [b"".join(encode(*make(draw)) for _ in range(pipeline)) for _ in clients]
        for client, batch in zip(clients, sent):
            client.socket.sendall(batch)
        for client in clients:
            for _ in range(pipeline):
                client.reply()


def measure_server(server, tests):
    """{(test, pipeline): instructions for each command}."""
    counted = Counted(server)
    server.start_ready()
    fill(server)
    clients = [server.client() for _ in range(CLIENTS)]
    found = {}
    try:
        counted.control("-i", "on")
        counted.find_serving(clients)
        for test in tests:
            say(f"counting {server.title}: {test}")
            make = COMMANDS[test]
            for pipeline in PIPELINES:
                draw = random.Random(2)
                send_all(clients, make, pipeline, max(1, WARM_BATCHES // pipeline), draw)
                counted.control("-z")
                send_all(clients, make, pipeline, BATCHES[pipeline], draw)
                commands = BATCHES[pipeline] * pipeline * CLIENTS
                found[test, pipeline] = counted.instructions() / commands
    finally:
        for client in clients:
            client.close()
        server.empty()
    return found


def measure(fleet, tests=tuple(COMMANDS)):
    """A row for each test and pipeline: {"test", "pipeline", "cells": {title: instructions}}."""
    if not (shutil.which("valgrind") and shutil.which("callgrind_control")):
        raise BenchError("valgrind is not installed: apt-get install valgrind (scripts/bench --peers does it)")
    found = {}
    for server in [*fleet.peers, fleet.ours]:
        server.empty()
        if isinstance(server, Ours):
            server.threads = 1
        found[server.title] = measure_server(server, tests)
    return [{"test": test, "pipeline": pipeline,
             "cells": {title: {"instructions": counts[test, pipeline]} for title, counts in found.items()}}
            for test in tests for pipeline in PIPELINES]


def tables(rows, ours):
    """The table, in markdown."""
    titles = [title for title in rows[0]["cells"] if title != ours]
    lines = []
    for row in rows:
        cells = row["cells"]
        best = better(cells, titles, "instructions", most=False)
        share = cells[ours]["instructions"] / cells[best]["instructions"] if best else None
        lines.append([f"{row['test']}, pipeline {row['pipeline']}",
                      *(number(cells[title]["instructions"], 0) for title in [*titles, ours]),
                      NONE if share is None else number(share)])
    return ("### Instructions for each command\n\n" + table(["", *titles, ours, "ratio"], lines) + "\n\n"
            f"Counted by callgrind in the thread that serves {CLIENTS} clients, outside the kernel: reading, running, committing "
            f"and answering. {STRINGS:,} strings of {VALUE_BYTES} bytes; {SMALL:,} collections of {SMALL_ELEMENTS} elements at the "
            f"start, each command at one of them; \"one\" means a collection of {LARGE_ELEMENTS:,}. Ratios are to the best peer: less is better.")
