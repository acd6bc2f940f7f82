"""Parts of long strings: one call at a time, so that the cost of a call shows, and not how many can run at once."""

import statistics
import time

from .client import BenchError, Client
from .report import number, say, table

MIB = 1 << 20
KEY = "long"
LENGTHS = (MIB, 8 * MIB, 64 * MIB)
CALLS = 300
# Slow calls run less often.
SECONDS_PER_TEST = 1.0
CALLS_MIN = 5
# The project's goal for the ratio of times.
GOAL = 5


def calls(length):
    """{name: call of a number}. The numbers spread the places over the string."""
    def place(n):
        return (n * 7_919_003 + length // 2) % (length - 200)

    return {
        "STRLEN": lambda n: ("STRLEN", KEY),
        "GETBIT": lambda n: ("GETBIT", KEY, 8 * place(n)),
        "GETRANGE of 11 bytes": lambda n: ("GETRANGE", KEY, place(n), place(n) + 10),
        "BITCOUNT of 2 bytes": lambda n: ("BITCOUNT", KEY, place(n), place(n) + 1),
        "BITPOS of 100 bytes": lambda n: ("BITPOS", KEY, 1, place(n), place(n) + 99),
        "BITFIELD_RO GET": lambda n: ("BITFIELD_RO", KEY, "GET", "u8", 8 * place(n)),
        "OBJECT ENCODING": lambda n: ("OBJECT", "ENCODING", KEY),
        "MEMORY USAGE": lambda n: ("MEMORY", "USAGE", KEY),
        "INCR, an error": lambda n: ("INCR", KEY),
        "LLEN, an error": lambda n: ("LLEN", KEY),
        "APPEND of 100 bytes": lambda n: ("APPEND", KEY, b"a" * 100),
        "SETRANGE of 100 bytes": lambda n: ("SETRANGE", KEY, place(n), b"%0100d" % n),
        "SETBIT": lambda n: ("SETBIT", KEY, 8 * place(n), n % 2),
        "BITFIELD SET": lambda n: ("BITFIELD", KEY, "SET", "u16", 8 * place(n), n),
    }


def microseconds(client, call):
    """The median time of a call, us."""
    times = []
    end = time.monotonic() + SECONDS_PER_TEST
    for n in range(CALLS):
        if n >= CALLS_MIN and time.monotonic() > end:
            break
        began = time.perf_counter_ns()
        try:
            client.call(*call(n))
        except BenchError:
            # Failing calls count too.
            pass
        times.append(time.perf_counter_ns() - began)
    return statistics.median(times) / 1000


def measure(fleet, quick):
    """A row for each command and length: {"test", "bytes", "us"}, the times by server."""
    servers = [*fleet.peers, fleet.ours]
    for server in fleet.all():
        server.empty()
    for server in servers:
        server.start_ready()
    return measure_servers({server.title: server.port for server in servers}, LENGTHS[:2] if quick else LENGTHS)


def measure_servers(ports, lengths):
    """The rows of servers that run, by their titles."""
    rows = []
    for length in lengths:
        say(f"strings of {length // MIB} MiB")
        clients = {title: Client(port) for title, port in ports.items()}
        for client in clients.values():
            client.call("SET", KEY, b"a" * length)
        for test, call in calls(length).items():
            times = {title: microseconds(client, call) for title, client in clients.items()}
            rows.append({"test": test, "bytes": length, "us": times})
        for client in clients.values():
            client.call("DEL", KEY)
            client.close()
    return rows


def tables(rows, ours):
    """The times, in markdown."""
    titles = list(rows[0]["us"])
    peers = [title for title in titles if title != ours]
    lines = []
    for row in rows:
        best = min((row["us"][title] for title in peers), default=None)
        lines.append([f"{row['test']}, {row['bytes'] // MIB} MiB", *(f"{row['us'][title]:,.0f}" for title in titles),
                      number(row["us"][ours] / best if best else None)])
    return ("### Parts of long strings\n\n" + table(["us", *titles, "ratio"], lines)
            + f"\n\nOne connection, one call at a time, median times of up to {CALLS} calls. The goal is a ratio of at "
              f"most {GOAL}.")
