"""Measures pmemkv-server beside redis-server and prints one markdown table; started by scripts/bench."""

import argparse
import csv
import json
import os
import platform
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TESTS = ("SET", "GET", "INCR", "MSET")
PIPELINES = (1, 16, 64)
CLIENTS = 50
VALUE_BYTES = 64
START_SECONDS_MAX = 120.0
CHUNK_KEYS = 10_000
CHECKED_KEYS = 1_000


class BenchError(Exception):
    """A measurement that cannot be trusted; the text says why."""


def key_of(i):
    """The key that redis-benchmark makes of the number: 16 bytes."""
    return b"key:%012d" % i


def value_of(i):
    """64 bytes that only this key has, so that a GET can be checked."""
    return (b"%016x" % i) * (VALUE_BYTES // 16)


def counter_key_of(i):
    """The key of redis-benchmark's INCR."""
    return b"counter:%012d" % i


def zero(_):
    """The value that each counter starts with."""
    return b"0"


def set_request(key, value):
    return b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(value), value)


class Client:
    """Just enough of the protocol for single commands."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def call(self, *args):
        parts = [b"*%d\r\n" % len(args)]
        for arg in args:
            arg = arg if isinstance(arg, bytes) else str(arg).encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(arg), arg))
        self.socket.sendall(b"".join(parts))
        line = self.file.readline()
        if not line:
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            if rest == b"-1":
                return None
            return self.file.read(int(rest) + 2)[:-2]
        if kind == b"-":
            raise BenchError(rest.decode())
        return int(rest) if kind == b":" else rest

    def load(self, count, key=key_of, value=value_of):
        """SETs the first `count` keys in one long pipeline and checks that each was answered with OK."""
        wanted = len(b"+OK\r\n") * count
        received = bytearray()

        def drain():
            left = wanted
            while left > 0:
                data = self.socket.recv(1 << 16)
                if not data:
                    return
                left -= len(data)
                # Only the first wrong reply is of interest, and it is not worth keeping the right ones for it.
                if len(received) < 4096 and data.strip(b"+OK\r\n"):
                    received.extend(data[:4096])
                    return

        reader = threading.Thread(target=drain, daemon=True)
        reader.start()
        for first in range(0, count, CHUNK_KEYS):
            numbers = range(first, min(count, first + CHUNK_KEYS))
            self.socket.sendall(b"".join(set_request(key(i), value(i)) for i in numbers))
            if received:
                break
        reader.join(timeout=300)
        if received or reader.is_alive():
            text = bytes(received).decode(errors="replace").strip() or "replies are missing"
            raise BenchError(f"loading {count} keys: {text[:200]}")


class Server:
    """One server program with its options, on its own port and in its own folder."""

    def __init__(self, title, argv, folder, restart_note, saves):
        self.title = title
        self.argv = argv
        self.folder = folder
        self.restart_note = restart_note
        # Whether a SAVE must come before the kill for anything to be there afterwards.
        self.saves = saves
        self.port = None
        self.process = None
        self.log_path = os.path.join(folder, "log")

    def start(self):
        """Returns as soon as the process exists; see `wait_ready`."""
        if self.port is None:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.argv, "--port", str(self.port), "--bind", "127.0.0.1"],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )

    def wait_until(self, ready):
        """Polls until `ready(client)` holds; a server that is loading answers with an error first."""
        deadline = time.monotonic() + START_SECONDS_MAX
        client = None
        try:
            while time.monotonic() < deadline:
                if self.process.poll() is not None:
                    raise BenchError(f"{self.title} ended at its start: {self.log_tail()}")
                try:
                    client = client or Client(self.port)
                    if ready(client):
                        return
                except BenchError as error:
                    if "LOADING" not in str(error):
                        raise
                except OSError:
                    if client:
                        client.close()
                    client = None
                time.sleep(0.001)
        finally:
            if client:
                client.close()
        raise BenchError(f"{self.title} is not ready after {START_SECONDS_MAX:.0f} s: {self.log_tail()}")

    def wait_ready(self):
        self.wait_until(lambda client: client.call("PING") == b"PONG")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
        self.process = None

    def log_tail(self):
        with open(self.log_path, errors="replace") as log:
            return " | ".join(log.read().strip().splitlines()[-3:])

    def empty(self):
        """Ends the server and forgets its data."""
        self.kill()
        shutil.rmtree(self.folder)
        os.mkdir(self.folder)

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def misses(self):
        with Client(self.port) as client:
            for line in client.call("INFO", "stats").splitlines():
                if line.startswith(b"keyspace_misses:"):
                    return int(line.split(b":")[1])
        raise BenchError(f"{self.title}: INFO has no keyspace_misses")


def run_cell(server, test, pipeline, keyspace, requests):
    """One run of redis-benchmark: (requests/s, server CPU in us per command)."""
    requests = max(requests // pipeline, CLIENTS) * pipeline
    misses = server.misses() if test == "GET" else 0
    cpu = server.cpu_seconds()
    done = subprocess.run(
        ["redis-benchmark", "-p", str(server.port), "-t", test.lower(), "-P", str(pipeline), "-c", str(CLIENTS),
         "-d", str(VALUE_BYTES), "-r", str(keyspace), "-n", str(requests), "--csv"],
        capture_output=True, text=True, timeout=300, check=False,
    )
    cpu = server.cpu_seconds() - cpu
    rows = [row for row in csv.reader(done.stdout.splitlines()) if row and row[0].startswith(test)]
    if done.returncode or len(rows) != 1 or "rror" in done.stdout + done.stderr:
        text = (done.stderr.strip() or done.stdout.strip())[:300]
        raise BenchError(f"{server.title}: redis-benchmark -t {test.lower()} -P {pipeline} failed: {text}")
    if test == "GET" and server.misses() != misses:
        raise BenchError(f"{server.title}: a GET did not hit")
    return float(rows[0][1]), cpu * 1e6 / requests


def measure_rates(servers, keyspace, seconds, rounds):
    """{(test, pipeline): {title: (requests/s, us per command)}}, medians over the rounds."""
    for server in servers:
        server.start()
        server.wait_ready()
        with Client(server.port) as client:
            # All keys are there before the first cell: the later rounds must not find more than the first did.
            client.load(keyspace)
            client.load(keyspace, counter_key_of, zero)
    results = {}
    for pipeline in PIPELINES:
        for test in TESTS:
            say(f"{test}, pipeline {pipeline}")
            runs = {server.title: [] for server in servers}
            requests = {}
            for server in servers:
                # A short run first: it warms up, and it says how many requests fill the wanted time.
                probe = 2_500 * min(pipeline, 16) // (4 if test == "MSET" else 1)
                rate, _ = run_cell(server, test, pipeline, keyspace, probe)
                requests[server.title] = int(rate * seconds)
            for _ in range(rounds):
                for server in servers:
                    cell = run_cell(server, test, pipeline, keyspace, requests[server.title])
                    runs[server.title].append(cell)
            results[test, pipeline] = {
                title: tuple(statistics.median(column) for column in zip(*cells)) for title, cells in runs.items()
            }
    return results


def measure_restarts(servers, keys, rounds):
    """What loading costs and how long a restart takes, for each server.

    ({title: (new keys/s, us per key)}, {title: median of the seconds from kill -9 to the first correct GET})
    """
    loads, results = {}, {}
    for server in servers:
        say(f"restart with {keys} keys: {server.title}")
        server.start()
        server.wait_ready()
        with Client(server.port) as client:
            cpu, began = server.cpu_seconds(), time.monotonic()
            client.load(keys)
            rate = keys / (time.monotonic() - began)
            loads[server.title] = rate, (server.cpu_seconds() - cpu) * 1e6 / keys
            if server.saves:
                client.call("SAVE")
        times = []
        for _ in range(rounds):
            asked = random.randrange(keys)
            began = time.monotonic()
            server.kill()
            server.start()
            server.wait_until(lambda client: client.call("GET", key_of(asked)) == value_of(asked))
            times.append(time.monotonic() - began)
            with Client(server.port) as client:
                for i in random.sample(range(keys), CHECKED_KEYS):
                    if client.call("GET", key_of(i)) != value_of(i):
                        raise BenchError(f"{server.title} lost {key_of(i).decode()}")
                found = client.call("DBSIZE")
                if found != keys:
                    raise BenchError(f"{server.title} has {found} keys after the restart, not {keys}")
        results[server.title] = statistics.median(times)
        server.empty()
    return loads, results


def version_of(program):
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
        return done.stdout.strip().splitlines()[0].split(" sha=")[0]
    except (OSError, IndexError):
        return "version unknown"


def describe_machine(programs, work_dir):
    with open("/proc/cpuinfo") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    with open("/proc/meminfo") as file:
        memory_kib = int(file.readline().split()[1])
    stat = subprocess.run(["stat", "-f", "-c", "%T", work_dir], capture_output=True, text=True, check=False)
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory_kib / (1 << 20), 1),
        "kernel": platform.release(),
        "redis_files_on": stat.stdout.strip() or "unknown",
        "load_before": os.getloadavg()[0],
        "versions": [version_of(program) for program in programs],
    }


def make_servers(arguments, disk, shm):
    """The servers to compare, Redis without persistence first, and the remarks that the table needs."""
    quiet = ["--save", "", "--loglevel", "warning"]
    # No rewrites in between: they would fall into some cells and not into others.
    always = ["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"]
    remarks = []

    def folder(parent, name):
        path = os.path.join(parent, name)
        os.mkdir(path)
        return path

    servers = [
        Server("Redis", ["redis-server", *quiet, "--appendonly", "no"], folder(disk, "redis"), "RDB load", True),
        Server("Redis, AOF always", ["redis-server", *quiet, *always], folder(disk, "aof"), "AOF replay", False),
    ]
    programs = ["redis-server", "redis-benchmark"]
    if shutil.which("valkey-server"):
        argv = ["valkey-server", *quiet, "--appendonly", "no"]
        servers.append(Server("Valkey", argv, folder(disk, "valkey"), "RDB load", True))
        programs.append("valkey-server")
    else:
        remarks.append("valkey-server is not installed here and was not measured.")

    program = os.path.abspath(shutil.which(arguments.server) or arguments.server)
    if os.path.basename(program).startswith(("redis-server", "valkey-server")):
        remarks.append(f"{program} stands in for pmemkv-server: this is a test of the script.")
        ours = Server("pmemkv-server", [program, *quiet], folder(disk, "ours"), "RDB load", True)
    else:
        size_gb = 1 if arguments.quick else 4
        free = shutil.disk_usage(shm).free
        if free < (size_gb << 30) * 1.05:
            raise BenchError(f"/dev/shm has {free >> 20} MiB free, the pool needs {size_gb} GiB")
        path = folder(shm, "ours")
        argv = [program, "--pool-path", os.path.join(path, "pool"), "--pool-size", f"{size_gb}gb"]
        ours = Server("pmemkv-server", argv, path, "the pool", False)
        remarks.append("pmemkv-server's pool is in /dev/shm: each write survives the process, not a power cut. "
                       "Redis's AOF is on disk and survives both.")
    servers.append(ours)
    programs.append(program)
    return servers, programs, remarks


def table(servers, rates, loads, restarts, keys):
    base = servers[0].title
    lines = [
        "| | " + " | ".join(server.title for server in servers) + " |",
        "|---|" + "---:|" * len(servers),
    ]
    rows = [
        (f"{'MSET (10 keys)' if test == 'MSET' else test}, pipeline {pipeline}", cells)
        for (test, pipeline), cells in rates.items()
    ]
    rows.append((f"loading {keys:,} new keys", loads))
    for name, cells in rows:
        columns = []
        for server in servers:
            rate, cpu = cells[server.title]
            ratio = "" if server.title == base else f" ({rate / cells[base][0]:.2f}x)"
            columns.append(f"{rate:,.0f}/s{ratio}, {cpu:.2f} us")
        lines.append(f"| {name} | " + " | ".join(columns) + " |")
    columns = []
    for server in servers:
        seconds = restarts[server.title]
        ratio = "" if server.title == base else f" ({seconds / restarts[base]:.3f}x)"
        columns.append(f"{seconds:.3f} s{ratio}, {server.restart_note}")
    lines.append(f"| kill -9 to first GET, {keys:,} keys | " + " | ".join(columns) + " |")
    return "\n".join(lines)


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def measure(arguments, disk, shm):
    keyspace, seconds, rounds, keys, restarts = (
        (200_000, 0.15, 1, 300_000, 1) if arguments.quick else (1_000_000, 1.5, 3, 3_000_000, 3)
    )
    servers, programs, remarks = make_servers(arguments, disk, shm)
    machine = describe_machine(programs, disk)
    began = time.monotonic()
    try:
        rates = measure_rates(servers, keyspace, seconds, rounds)
        for server in servers:
            server.empty()
        loads, restart_seconds = measure_restarts(servers, keys, restarts)
    finally:
        for server in servers:
            server.kill()

    print(table(servers, rates, loads, restart_seconds, keys))
    print(f"\n{CLIENTS} clients, {VALUE_BYTES}-byte values, {keyspace:,} random keys, all there beforehand; requests "
          f"per second (ratio to Redis without persistence), CPU time of the server per command; median of {rounds}"
          f"{', a quick run: expect noise' if arguments.quick else ''}. "
          f"The load is one connection's long pipeline, and its sender limits the fastest servers.")
    print(f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
          f"Linux {machine['kernel']}; Redis's files on {machine['redis_files_on']}; "
          f"load {machine['load_before']:.2f} at the start. {'; '.join(machine['versions'])}.")
    for remark in remarks:
        print(remark)
    say(f"took {time.monotonic() - began:.0f} s")

    if arguments.json:
        report = {
            "machine": machine, "quick": arguments.quick, "rounds": rounds, "keyspace": keyspace, "remarks": remarks,
            "rates": [
                {"test": test, "pipeline": pipeline, "server": title, "requests_per_second": rate,
                 "cpu_us_per_command": cpu, "ratio": rate / cells[servers[0].title][0]}
                for (test, pipeline), cells in rates.items() for title, (rate, cpu) in cells.items()
            ],
            "load": [
                {"server": title, "keys": keys, "keys_per_second": rate, "cpu_us_per_key": cpu}
                for title, (rate, cpu) in loads.items()
            ],
            "restart": [
                {"server": title, "keys": keys, "seconds": value, "ratio": value / restart_seconds[servers[0].title]}
                for title, value in restart_seconds.items()
            ],
        }
        with open(arguments.json, "w") as file:
            json.dump(report, file, indent=2)
            file.write("\n")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Compares pmemkv-server with Redis.")
    parser.add_argument("--quick", action="store_true", help="under a minute, noisy")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--server", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work-dir", required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    # Ended by a signal, the servers and the folders must go all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.work_dir) as disk, \
                tempfile.TemporaryDirectory(prefix="pmemkv-bench-", dir="/dev/shm") as shm:
            measure(arguments, disk, shm)
    except BenchError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
