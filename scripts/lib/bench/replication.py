"""Replication and RDB files: full copies, a master's rate with a replica, loading and saving, a killed master's replicas."""

import contextlib
import os
import random
import statistics
import threading
import time

from .client import BenchError, Client, encode, key_of, value_of
from .figures import merge_slices, merge_turns, requests_for
from .load import VALUE_BYTES, benchmark
from .memory import Sampler
from .report import say
from .servers import Peer, StandIn

# Another client's GETs, and overwrites beside them where a copy or a file is to be disturbed.
GETS_PER_SECOND = 5_000
OVERWRITES_PER_SECOND = 10_000
TURNS = 2
QUIET_SECONDS = 3.0
# The keys that redis-benchmark writes to, its pipeline, and for how long it writes in all.
KEYSPACE = 100_000
PIPELINE = 16
WRITE_SECONDS = 9.0
WRITE_TURNS = 3
# How long the load goes on before a master is killed.
LOADED_SECONDS = 2.0
RESTARTS = 3
CHECKED = 300
PATIENCE_SECONDS = 240.0
POLL_SECONDS = 0.005
FILE = "bench.rdb"


class Cast:
    """The servers of this part: for each peer a master and a replica, for ours both; their files are all in memory."""

    def __init__(self, fleet, keys):
        self.fleet = fleet
        self.peers = [(self.peer(peer, "master"), self.peer(peer, "replica")) for peer in fleet.peers]
        self.ours, self.own_replica = (fleet.make_ours(f"replication-{name}") for name in ("ours", "ours-replica"))
        for server in (self.ours, self.own_replica):
            # A copy comes in beside what is there, and the layout pairs takes some 500 bytes a key.
            server.pool_bytes = max(1 << 30, keys * 1_000)
        self.options()

    def peer(self, peer, role):
        """A peer's program once more."""
        folder = self.fleet.folder(f"replication-{peer.title}-{role}", self.fleet.shm)
        return Peer(peer.title, peer.program, folder, False)

    def all(self):
        """All of them."""
        return [*(server for pair in self.peers for server in pair), self.ours, self.own_replica]

    def masters(self):
        """The masters, ours last."""
        return [*(master for master, _ in self.peers), self.ours]

    def options(self):
        """Sets each server's options: a copy begins at once, and a file lies in the server's folder."""
        for server in self.all():
            server.options = ("--dir", server.folder, "--dbfilename", FILE, "--repl-diskless-sync-delay", "0",
                              "--repl-ping-replica-period", "1")

    def replica_of(self, master):
        """The replica that the master of this kind gets: of its own program, or the first peer for ours."""
        for one, replica in self.peers:
            if one is master or master is self.ours:
                return replica
        raise ValueError("no such master")

    def end(self):
        """Ends all and forgets their data."""
        for server in self.all():
            server.empty()


def wait_for(what, server, is_so):
    """Seconds until `is_so(client)`."""
    began = time.monotonic()
    with server.client() as client:
        while not is_so(client):
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise BenchError(f"{server.title}: not after {PATIENCE_SECONDS:.0f} s: {what}")
            time.sleep(POLL_SECONDS)
    return time.monotonic() - began


def is_linked(client):
    """Whether a replica's link is up and it has its copy."""
    return client.info("replication").get("master_link_status") == "up"


def follow(replica, master):
    """Makes it a replica; returns the seconds until it has everything."""
    with replica.client() as client:
        client.call("REPLICAOF", "127.0.0.1", master.port)
    return wait_for("the replica has its copy", replica, is_linked)


def offsets(master, replica):
    """Where both are in the stream."""
    return (int(master.info("replication")["master_repl_offset"]),
            int(replica.info("replication").get("slave_repl_offset", -1)))


def check_same(master, replica, keys):
    """Both have as many keys, and equal values of some."""
    wait_for("the replica is where the master is", replica, lambda _: len(set(offsets(master, replica))) == 1)
    with master.client() as one, replica.client() as other:
        sizes = one.call("DBSIZE"), other.call("DBSIZE")
        if sizes[0] != keys or sizes[1] != keys:
            raise BenchError(f"{master.title} has {sizes[0]} keys, its replica {sizes[1]}, and not {keys}")
        for number in random.sample(range(keys), min(CHECKED, keys)):
            key = key_of(number)
            if one.call("GET", key) != other.call("GET", key):
                raise BenchError(f"{master.title}: its replica has another value of {key.decode()}")


def start_filled(generator, server, keys):
    """Starts it empty, and fills it."""
    say(f"filling {server.title}: {keys:,} keys")
    server.empty()
    server.start_ready()
    generator.fill(server, 0, keys, VALUE_BYTES)


def copy_once(generator, master, replica, keys, busy):
    """One full copy to an empty replica, beside GETs; with `busy` also beside overwrites, and memory is looked at."""
    replica.empty()
    replica.start_ready()
    before = master.family_cpu_seconds()
    with Sampler(master) if busy else contextlib.nullcontext() as sampler:
        with generator.beside(master, GETS_PER_SECOND, keys, OVERWRITES_PER_SECOND if busy else 0) as beside:
            seconds = follow(replica, master)
    figures = {**beside.figures, "seconds": seconds, "cpu_seconds": master.family_cpu_seconds() - before}
    if busy:
        figures.update(sampler.extra())
    check_same(master, replica, keys)
    replica.empty()
    return figures


def merge_copies(quiet, busy):
    """One cell of a kind's copies."""
    cell = {name: statistics.median(one[name] for one in quiet) for name in ("seconds", "cpu_seconds")}
    return {**cell, "quiet": merge_turns(quiet), "busy": merge_turns([busy]), "busy_seconds": busy["seconds"],
            **{name: busy[name] for name in ("rss_bytes", "own_bytes", "before_bytes")}}


def full_copies(cast, generator, keys, turns):
    """Rows {"replica", "cells"}: a replica of each kind takes the data from a master of its kind and from ours."""
    rows = []
    start_filled(generator, cast.ours, keys)
    for master, replica in cast.peers:
        start_filled(generator, master, keys)
        runs = {server.title: [] for server in (master, cast.ours)}
        for turn in range(turns + 1):
            busy = turn == turns
            for server in (master, cast.ours):
                say(f"full copy from {server.title} to {replica.title}{', while clients write' if busy else ''}")
                runs[server.title].append(copy_once(generator, server, replica, keys, busy))
        rows.append({"replica": replica.title,
                     "cells": {title: merge_copies(all_runs[:-1], all_runs[-1]) for title, all_runs in runs.items()}})
        master.empty()
    say("full copy from ours to ours")
    own = [copy_once(generator, cast.ours, cast.own_replica, keys, busy) for busy in (False, True)]
    rows.append({"replica": cast.ours.title, "cells": {cast.ours.title: merge_copies(own[:1], own[1])}})
    return rows


def forget_replicas(master):
    """Waits until a master without replicas keeps no history for them any more."""
    with master.client() as client:
        client.call("CONFIG", "SET", "repl-backlog-ttl", 1)
    wait_for("the backlog is given back", master,
             lambda client: client.info("replication").get("repl_backlog_active") == "0")


def write_with(master, replica, requests):
    """Writes beside a replica: the figures, how far the replica is behind at the end, and for how long."""
    replica.start_ready()
    follow(replica, master)
    of_replica = replica.cpu_seconds()
    figures = benchmark(master, "SET", PIPELINE, KEYSPACE, requests, VALUE_BYTES)
    ends = offsets(master, replica)
    figures["behind_bytes"] = ends[0] - ends[1]
    figures["behind_seconds"] = wait_for(
        "the replica is where the master is", replica, lambda _: len(set(offsets(master, replica))) == 1)
    figures["replica_cpu_seconds"] = replica.cpu_seconds() - of_replica
    figures["copies"] = int(master.info("stats")["sync_full"])
    replica.empty()
    return figures


def writes(cast, generator, quick):
    """{title: {"alone", "followed"}}: a master's rate of SETs without and with a replica."""
    cells = {}
    seconds, turns = (WRITE_SECONDS / 10, 1) if quick else (WRITE_SECONDS, WRITE_TURNS)
    runs = {}
    for master in cast.masters():
        start_filled(generator, master, KEYSPACE)
        guess = benchmark(master, "SET", PIPELINE, KEYSPACE, requests_for(100_000, 0.5, PIPELINE, 50), VALUE_BYTES)
        runs[master.title] = (requests_for(guess["per_second"], seconds / turns, PIPELINE, 50), [], [])
    for turn in range(turns):
        for master in cast.masters():
            say(f"SET, pipeline {PIPELINE}, without and with a replica: {master.title}, turn {turn + 1}")
            requests, alone, followed = runs[master.title]
            if turn:
                forget_replicas(master)
            alone.append(benchmark(master, "SET", PIPELINE, KEYSPACE, requests, VALUE_BYTES))
            followed.append(write_with(master, cast.replica_of(master), requests))
    for title, (_, alone, followed) in runs.items():
        commands = sum(one["commands"] for one in followed)
        cells[title] = {
            "alone": merge_slices(alone),
            "followed": {
                **merge_slices(followed),
                "behind_bytes": max(one["behind_bytes"] for one in followed),
                "behind_seconds": max(one["behind_seconds"] for one in followed),
                "replica_cpu_us": sum(one["replica_cpu_seconds"] for one in followed) * 1e6 / commands,
                # Each turn begins with a copy. More than these are of a replica that fell too far behind.
                "more_copies": followed[-1]["copies"] - len(followed),
            }}
    return cells


def save_once(generator, server, keys, overwrites):
    """One BGSAVE beside GETs."""
    with generator.beside(server, GETS_PER_SECOND, keys, overwrites) as beside:
        with server.client() as client:
            client.call("BGSAVE")
        seconds = wait_for("the file is written", server,
                           lambda client: client.info("persistence")["rdb_bgsave_in_progress"] == "0")
    if server.info("persistence")["rdb_last_bgsave_status"] != "ok":
        raise BenchError(f"{server.title}: BGSAVE failed: {server.log_tail()}")
    return {**beside.figures, "seconds": seconds}


def merge_saves(saves):
    """One cell; the longest pause is that of each save, and their median."""
    return {**merge_turns(saves), "max_us": statistics.median(one["max_us"] for one in saves),
            "seconds": statistics.median(one["seconds"] for one in saves)}


def files(cast, generator, keys, turns):
    """{title: figures} of loading a file and of saving one, beside other clients."""
    cells, source = {}, None
    for server in cast.masters():
        start_filled(generator, server, keys)
        say(f"BGSAVE: {server.title}")
        with generator.beside(server, GETS_PER_SECOND, keys) as quiet:
            time.sleep(QUIET_SECONDS if turns > 1 else QUIET_SECONDS / 10)
        cell = {"quiet": quiet.figures,
                "saving": merge_saves([save_once(generator, server, keys, 0) for _ in range(turns)]),
                "busy": merge_saves([save_once(generator, server, keys, OVERWRITES_PER_SECOND) for _ in range(turns)])}
        path = os.path.join(server.folder, FILE)
        cell["file_bytes"] = os.path.getsize(path)
        if source is None:
            # All load the first peer's file, with the values of the beginning.
            generator.fill(server, 0, keys, VALUE_BYTES)
            with server.client() as client:
                client.call("SAVE")
            source = os.path.join(cast.fleet.shm, FILE)
            os.rename(path, source)
        cells[server.title] = cell
        server.empty()
    for turn in range(turns):
        for server in cast.masters():
            say(f"loading an RDB file: {server.title}, turn {turn + 1}")
            cells[server.title].setdefault("loads", []).append(load_once(server, source, keys))
    os.unlink(source)
    for cell in cells.values():
        loads = cell.pop("loads")
        cell["load_seconds"] = statistics.median(one["seconds"] for one in loads)
        cell["load_cpu_seconds"] = statistics.median(one["cpu_seconds"] for one in loads)
    return cells


def load_once(server, source, keys):
    """Seconds from the start with the file until all keys are there, and the process's CPU time until then."""
    server.empty()
    options = server.options
    if isinstance(server, Peer):
        os.link(source, os.path.join(server.folder, FILE))
    else:
        server.options = (*options, "--import", source)
    began = time.monotonic()
    server.start()
    server.wait_until(lambda client: client.call("DBSIZE") == keys)
    seconds, cpu_seconds = time.monotonic() - began, server.cpu_seconds()
    server.options = options
    with server.client() as client:
        for number in random.sample(range(keys), min(CHECKED, keys)):
            if client.call("GET", key_of(number)) != value_of(number, VALUE_BYTES):
                raise BenchError(f"{server.title} has loaded another value of {key_of(number).decode()}")
    server.empty()
    return {"seconds": seconds, "cpu_seconds": cpu_seconds}


class Writing:
    """SETs over one connection, which comes back whenever the server does."""

    def __init__(self, server, keys):
        self.server, self.keys = server, keys
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        """Sends sixteen at a time."""
        while not self.ended.is_set():
            with contextlib.suppress(OSError, BenchError), Client(self.server.port) as client:
                while not self.ended.is_set():
                    client.pipeline([encode("SET", key_of(random.randrange(self.keys)), b"%064x" % random.getrandbits(99))
                                     for _ in range(PIPELINE)])
            time.sleep(0.001)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(timeout=PATIENCE_SECONDS)


def crash(server, replica):
    """Kills the loaded master and starts it again: seconds until it serves and until its replica is linked, and copies."""
    began = time.monotonic()
    server.kill()
    server.start()
    server.wait_until(lambda client: client.call("PING") == b"PONG")
    serves = time.monotonic() - began

    def has_replica(client):
        own = client.info("replication")
        return own["connected_slaves"] == "1" and "state=online" in own.get("slave0", "")

    wait_for("the replica is back", server, has_replica)
    wait_for("the replica is linked", replica, is_linked)
    return {"serves": serves, "linked": time.monotonic() - began, "copies": int(server.info("stats")["sync_full"])}


def restarts(cast, generator, keys, rounds):
    """{title: figures} of a master that is killed while a client writes, and of its replica."""
    cells = {}
    for server in cast.masters():
        start_filled(generator, server, keys)
        replica = cast.replica_of(server)
        replica.empty()
        replica.start_ready()
        follow(replica, server)
        runs = []
        for turn in range(rounds):
            say(f"kill -9 of {server.title}, which has a replica, turn {turn + 1}")
            if server.saves and not isinstance(server, StandIn):
                with server.client() as client:
                    client.call("SAVE")
            with Writing(server, keys):
                time.sleep(LOADED_SECONDS)
                runs.append(crash(server, replica))
            check_same(server, replica, keys)
        cells[server.title] = {"serves": statistics.median(one["serves"] for one in runs),
                               "linked": statistics.median(one["linked"] for one in runs),
                               "longest": max(one["linked"] for one in runs),
                               "copies": sum(one["copies"] for one in runs), "kills": rounds}
        server.empty()
        replica.empty()
    return cells


def measure(fleet, generator, keys, quick):
    """All of it; the servers are this part's own, and end with it."""
    cast = Cast(fleet, keys)
    fleet.extra += cast.all()
    turns = 1 if quick else TURNS
    try:
        result = {"keys": keys, "value_bytes": VALUE_BYTES,
                  "copies": full_copies(cast, generator, keys, turns)}
        result["writes"] = writes(cast, generator, quick)
        cast.end()
        result["files"] = files(cast, generator, keys, turns)
        result["restarts"] = restarts(cast, generator, keys, 1 if quick else RESTARTS)
        fleet.ours.settings = cast.ours.settings
    finally:
        cast.end()
    return result
