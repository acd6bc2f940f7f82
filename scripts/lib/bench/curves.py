"""Cost as the work grows: one quantity at a time, each as a page with a table and a plot."""

import os

from . import machine, plots
from .client import BenchError
from .load import CLIENTS
from .rates import check_alive, fill, measure_cell
from .report import number, say, size_name, table
from .servers import Peer, StandIn

GIB = 1 << 30
SECONDS = 1.0
SLICES = 2
TESTS = ("GET", "SET")
VALUE_BYTES = 64
KEYS = 1_000_000
# Enough keys for each value size, within the machine's memory.
VALUES_TOTAL_BYTES = 256 << 20
ENGINES = (("packed", "cmap"), ("packed", "vcmap"), ("pairs", "cmap"), ("pairs", "stree"), ("pairs", "vcmap"),
           ("pairs", "vsmap"))
INDEX = "README.md"
COLLECTIONS = "collections.md"


class Curve:
    """The measurement, point by point: {"test", "x", "cells"}."""

    def __init__(self, fleet, generator, quick):
        self.fleet, self.generator, self.quick = fleet, generator, quick
        self.notes = []
        self.points = []
        self.servers = [*fleet.peers, fleet.ours]
        self.keys = 50_000 if quick else KEYS

    def start(self, servers, pool_bytes=4 * GIB):
        """Starts the servers empty; leaves out one that refuses its settings, and the page says so."""
        started = []
        for server in servers:
            if not isinstance(server, Peer):
                server.pool_bytes = GIB if self.quick else pool_bytes
            try:
                server.empty()
                server.start_ready()
                started.append(server)
            except BenchError as error:
                say(f"left out: {error}")
                self.notes.append(f"{server.title}: not available here.")
                server.kill()
        return started

    def fill(self, servers, keys, value_bytes, first=0):
        """Keys `first` to `keys` in each server."""
        for server in servers:
            say(f"filling {server.title} up to {keys:,} keys of {size_name(value_bytes)}")
            fill(self.generator, server, keys, value_bytes, first=first)

    def point(self, servers, x, keys, value_bytes, pipeline, clients=CLIENTS):
        """One point of both tests."""
        for test in TESTS:
            say(f"{test} at {x:,}")
            seconds, slices = (0.2, 1) if self.quick else (SECONDS, SLICES)
            cells = measure_cell(servers, test, pipeline, keys, value_bytes, seconds, slices, clients)
            self.points.append({"test": test, "x": x, "cells": cells})
        check_alive(self.fleet)

    def end(self):
        """Ends every server that was started."""
        for server in [*self.fleet.all(), *self.fleet.extra]:
            server.empty()


def keys_curve(curve):
    """10 thousand to 10 million keys."""
    servers = curve.start(curve.servers, 8 * GIB)
    have = 0
    for keys in (10_000, 50_000) if curve.quick else (10_000, 100_000, 1_000_000, 3_000_000, 10_000_000):
        curve.fill(servers, keys, VALUE_BYTES, have)
        have = keys
        curve.point(servers, keys, keys, VALUE_BYTES, 16)


def values_curve(curve):
    """Values of 16 B to 1 MiB."""
    for size in (16, 16_384) if curve.quick else [16 << (2 * step) for step in range(9)]:
        keys = max(min(100_000, VALUES_TOTAL_BYTES // size), 16)
        servers = curve.start(curve.servers)
        curve.fill(servers, keys, size)
        curve.point(servers, size, keys, size, 1)


def clients_curve(curve):
    """1 to 2,000 clients."""
    servers = curve.start(curve.servers)
    curve.fill(servers, curve.keys, VALUE_BYTES)
    for clients in (1, 200) if curve.quick else (1, 10, 50, 200, 1_000, 2_000):
        curve.point(servers, clients, curve.keys, VALUE_BYTES, 1, clients)


def pipeline_curve(curve):
    """Pipelines of 1 to 256 commands."""
    servers = curve.start(curve.servers)
    curve.fill(servers, curve.keys, VALUE_BYTES)
    for pipeline in (1, 64) if curve.quick else (1, 2, 4, 8, 16, 32, 64, 128, 256):
        curve.point(servers, pipeline, curve.keys, VALUE_BYTES, pipeline)


def variants(curve, servers):
    """Pipelines 1, 16 and 64 of servers that differ in their settings."""
    curve.fleet.extra.extend(servers)
    started = curve.start(servers, 2 * GIB)
    curve.fill(started, curve.keys, VALUE_BYTES)
    for pipeline in (1, 64) if curve.quick else (1, 16, 64):
        curve.point(started, pipeline, curve.keys, VALUE_BYTES, pipeline)


def threads_curve(curve):
    """One and two threads."""
    fleet = curve.fleet
    servers = []
    for threads in (1, 2):
        for peer in fleet.peers:
            folder = fleet.folder(f"{peer.title}-{threads}")
            servers.append(Peer(f"{peer.title}, {threads}", peer.program, folder, False, threads))
        servers.append(fleet.make_ours(f"ours-{threads}", threads=threads, title=f"pmemkv-server, {threads}"))
    variants(curve, servers)


def layouts_curve(curve):
    """Layouts and engines."""
    fleet = curve.fleet
    servers = list(fleet.peers[:1])
    for layout, engine in ENGINES[:1] if isinstance(fleet.ours, StandIn) else ENGINES:
        servers.append(fleet.make_ours(f"ours-{layout}-{engine}", layout, engine, title=f"{layout} on {engine}"))
    variants(curve, servers)


# name: (title, what x is, what stays the same, the function)
CURVES = {
    "keys": ("Number of keys", "keys", "64-byte values, 50 clients, pipeline 16", keys_curve),
    "values": ("Size of values", "bytes per value", "up to 100,000 keys and 256 MiB, 50 clients, pipeline 1",
               values_curve),
    "clients": ("Number of clients", "clients", "1 million keys, 64-byte values, pipeline 1", clients_curve),
    "pipeline": ("Length of pipelines", "commands in a pipeline", "1 million keys, 64-byte values, 50 clients",
                 pipeline_curve),
    "threads": ("Threads", "commands in a pipeline",
                "1 million keys, 64-byte values, 50 clients; io-threads of the peers, worker-threads of pmemkv-server",
                threads_curve),
    "layouts": ("Layouts and engines", "commands in a pipeline", "1 million keys, 64-byte values, 50 clients",
                layouts_curve),
}


def titles_of(points):
    """The servers of all points, in their order."""
    return list(dict.fromkeys(title for point in points for title in point["cells"]))


def page(name, points, notes, described, drawn):
    """The markdown of one curve."""
    title, x_name, fixed, _ = CURVES[name]
    titles = titles_of(points)
    lines = [f"# {title}", "", f"Rate and CPU time of the server (user and system) per command; {fixed}.", ""]
    if drawn:
        lines += [f"![{title}]({name}.svg)", ""]
    for test in TESTS:
        rows = []
        for point in points:
            if point["test"] != test:
                continue
            row = [f"{point['x']:,}"]
            for one in titles:
                cell = point["cells"].get(one)
                row.append("-" if cell is None else
                           f"{cell['per_second']:,.0f}/s, {number(cell['cpu_us'])} us, p99 {number(cell['p99_ms'])} ms")
            rows.append(row)
        lines += [f"## {test}", "", table([x_name, *titles], rows), ""]
    lines += [*notes, *([""] if notes else []), machine.sentence(described), ""]
    return "\n".join(lines)


def index(folder):
    """The list of the existing pages."""
    lines = ["# Cost as the work grows", "",
             "Made by `scripts/bench --curves`, each page by `scripts/bench --curves NAME`. `scripts/bench` alone compares",
             "at fixed sizes: [Comparison with Redis and Valkey](comparison.md).", ""]
    for name, (title, _, fixed, _) in CURVES.items():
        if os.path.exists(os.path.join(folder, f"{name}.md")):
            lines.append(f"- [{title}]({name}.md): {fixed}")
    if os.path.exists(os.path.join(folder, COLLECTIONS)):
        lines += ["", f"Not a curve, but as long a run: [Collections]({COLLECTIONS}), by",
                  f"`scripts/bench --only collections --only restart --page docs/benchmarks/{COLLECTIONS}`."]
    return "\n".join([*lines, ""])


def write(path, text):
    """Replaces the file."""
    with open(path, "w") as file:
        file.write(text)


def run(fleet, generator, names, folder, described, quick):
    """Measures the curves and writes their pages as each is done; the rest of the folder stays."""
    os.makedirs(folder, exist_ok=True)
    for name in names:
        curve = Curve(fleet, generator, quick)
        try:
            CURVES[name][3](curve)
        finally:
            curve.end()
        title, x_name, _, _ = CURVES[name]
        drawn = plots.draw(curve.points, TESTS, titles_of(curve.points), title, x_name,
                           os.path.join(folder, f"{name}.svg"))
        if not drawn:
            say("no plot: matplotlib is not installed (Debian: sudo apt-get install python3-matplotlib)")
        notes = [*fleet.remarks, *curve.notes, *(["A quick run: expect noise."] if quick else [])]
        text = page(name, curve.points, notes, described, drawn)
        write(os.path.join(folder, f"{name}.md"), text)
        write(os.path.join(folder, INDEX), index(folder))
        print(text)
        say(f"written to {os.path.join(folder, name)}.md")
