"""The servers that are compared: each on its own free port, in its own folder, ended by its own pid."""

import os
import shutil
import socket
import subprocess
import tempfile
import time

from .client import BenchError, Client

START_SECONDS_MAX = 240.0
POLL_SECONDS = 0.001


class Server:
    """One server program; `argv()` says how it is started."""

    # Whether only a SAVE before the kill keeps the data.
    saves = False
    # How a restart gets the data back.
    restart_note = ""
    # More of the command line.
    options = ()

    def __init__(self, title, program, folder):
        self.title = title
        self.program = program
        self.folder = folder
        self.port = None
        self.process = None

    def argv(self):
        """The program and its options, without port and address."""
        raise NotImplementedError

    @property
    def log_path(self):
        """Where its output goes."""
        return os.path.join(self.folder, "log")

    def start(self):
        """Returns as soon as the process exists; see `wait_ready`."""
        if self.port is None:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.argv(), "--port", str(self.port), "--bind", "127.0.0.1"],
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
                time.sleep(POLL_SECONDS)
        finally:
            if client:
                client.close()
        raise BenchError(f"{self.title} is not ready after {START_SECONDS_MAX:.0f} s: {self.log_tail()}")

    def start_ready(self):
        """Starts it and waits until it answers."""
        self.start()
        self.wait_until(lambda client: client.call("PING") == b"PONG")

    def kill(self):
        """Kills the process with signal 9, and waits for its end."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
        self.process = None

    def empty(self):
        """Ends the server and forgets its data."""
        self.kill()
        shutil.rmtree(self.folder)
        os.mkdir(self.folder)

    def log_tail(self):
        """The end of its output."""
        with open(self.log_path, errors="replace") as log:
            return " | ".join(log.read().strip().splitlines()[-3:])

    def client(self):
        """A new connection."""
        return Client(self.port)

    def info(self, section):
        """A section of INFO, over a connection of its own."""
        with self.client() as client:
            return client.info(section)

    def cpu_seconds(self):
        """User and system time of the process so far."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def family_cpu_seconds(self):
        """The same with its children that have ended."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def threads_cpu_seconds(self):
        """CPU time of its threads so far, in nanoseconds, without threads that have ended."""
        folder = f"/proc/{self.process.pid}/task"
        total = 0
        for thread in os.listdir(folder):
            try:
                with open(f"{folder}/{thread}/schedstat") as file:
                    total += int(file.read().split()[0])
            except FileNotFoundError as error:
                if os.path.exists(f"{folder}/{thread}"):
                    raise BenchError("this kernel keeps no schedstat of threads") from error
        return total / 1e9

    def dram_bytes(self):
        """The process's own memory, without files and shared memory: a mapped pool does not count."""
        with open(f"/proc/{self.process.pid}/status") as file:
            for line in file:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        raise BenchError("/proc/PID/status has no RssAnon")

    def all_indexed(self, _client):
        """Whether every key is served, once a key is."""
        return True

    def before_filling(self):
        """Makes filling faster if that changes no figure."""

    def after_filling(self):
        """Undoes `before_filling`."""


class Peer(Server):
    """redis-server or valkey-server, without persistence or with an AOF, synced at every write if nothing else is said."""

    def __init__(self, title, program, folder, aof, io_threads=1):
        super().__init__(title, program, folder)
        self.aof = aof
        self.fsync = "always"
        self.io_threads = io_threads
        self.saves = not aof
        self.restart_note = "AOF replay" if aof else "RDB load"

    def argv(self):
        options = ["--save", "", "--loglevel", "warning", "--io-threads", str(self.io_threads)]
        if self.io_threads > 1:
            options += ["--io-threads-do-reads", "yes"]
        if self.aof:
            # No rewrites of the AOF: they would disturb some cells and not others.
            options += ["--appendonly", "yes", "--appendfsync", self.fsync, "--auto-aof-rewrite-percentage", "0"]
        return [self.program, *options, *self.options]

    def before_filling(self):
        if self.aof:
            with self.client() as client:
                client.call("CONFIG", "SET", "appendfsync", "no")

    def after_filling(self):
        if self.aof:
            with self.client() as client:
                client.call("CONFIG", "SET", "appendfsync", self.fsync)


class Ours(Server):
    """pmemkv-server with its pool in /dev/shm."""

    restart_note = "the pool"

    def __init__(self, program, folder, layout, engine, threads, title="pmemkv-server"):
        super().__init__(title, program, folder)
        self.layout, self.engine, self.threads = layout, engine, threads
        self.pool_bytes = 1 << 30
        # Its own description, once it has started.
        self.settings = {"layout": layout, "engine": engine}

    def argv(self):
        options = ["--pool-path", os.path.join(self.folder, "pool"), "--pool-size", str(self.pool_bytes)]
        for name, value in (("layout", self.layout), ("engine", self.engine), ("worker-threads", self.threads)):
            if value:
                options += [f"--{name}", str(value)]
        return [self.program, *options, *self.options]

    def dram_bytes(self):
        """With the index, which lies in shared memory so that the next process finds it."""
        index = os.path.join(self.folder, "pool.index")
        shared = os.stat(index).st_blocks * 512 if os.path.exists(index) else 0
        return super().dram_bytes() + shared

    def start(self):
        free = shutil.disk_usage(self.folder).free
        pool = os.path.join(self.folder, "pool")
        if not os.path.exists(pool) and free < self.pool_bytes * 1.05:
            raise BenchError(f"{self.folder} has {free >> 20} MiB free, the pool needs {self.pool_bytes >> 20} MiB")
        super().start()

    def start_ready(self):
        super().start_ready()
        own = self.info("pmemkv")
        self.settings = {name: own.get(name) for name in ("layout", "engine", "writes_survive")}

    def all_indexed(self, client):
        if client.info("persistence").get("loading") != "0":
            return False
        own = client.info("pmemkv")
        return own.get("index_ready", "1") in ("1", "yes") and own.get("partitions") == own.get("partitions_indexed")


class StandIn(Peer):
    """A redis-server in pmemkv-server's place: a test of the scripts."""

    pool_bytes = 0
    settings = {"layout": "none", "engine": "none"}


class Fleet:
    """All servers of a run. Leaving it, by an error too, ends them and removes their folders."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.remarks = []
        self.peers, self.aofs, self.ours = [], [], None
        self.extra = []

    def __enter__(self):
        self.disk = tempfile.mkdtemp(prefix="bench-", dir=self.arguments.work_dir)
        self.shm = tempfile.mkdtemp(prefix="pmemkv-bench-", dir="/dev/shm")
        try:
            self.make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for server in [*self.all(), *self.extra]:
            server.kill()
        shutil.rmtree(self.disk, ignore_errors=True)
        shutil.rmtree(self.shm, ignore_errors=True)

    def make(self):
        """Fills `peers`, `aofs` and `ours`; starts nothing."""
        programs = [("Redis", "redis-server", "REDIS_SERVER"), ("Valkey", "valkey-server", "VALKEY_SERVER"),
                    ("newer Redis", "newer-redis-server", "NEWER_REDIS_SERVER"),
                    ("newer Valkey", "newer-valkey-server", "NEWER_VALKEY_SERVER")]
        for title, name, variable in programs:
            program = shutil.which(os.environ.get(variable) or name)
            if program is None and title.startswith("newer "):
                continue
            if program is None:
                self.remarks.append(f"{name} is not installed here and was not measured "
                                    f"(scripts/bench --help says how to add it).")
                continue
            program = os.path.abspath(program)
            self.peers.append(Peer(title, program, self.folder(name), False))
            self.aofs.append(Peer(f"{title}, AOF always", program, self.folder(f"{name}-aof"), True))
        if not self.peers:
            raise BenchError("neither redis-server nor valkey-server is installed: there is nothing to compare with")
        self.ours = self.make_ours("ours")

    def make_ours(self, name, layout=None, engine=None, threads=None, title="pmemkv-server"):
        """pmemkv-server as the arguments say, or with other settings."""
        given = self.arguments
        program = shutil.which(given.server)
        if program is None:
            raise BenchError(f"{given.server} is not there or cannot be executed")
        program = os.path.abspath(program)
        if os.path.basename(program).startswith(("redis-server", "valkey-server")):
            remark = f"{program} stands in for pmemkv-server: this is a test of the script."
            if remark not in self.remarks:
                self.remarks.append(remark)
            return StandIn(title, program, self.folder(name), False)
        return Ours(program, self.folder(name, self.shm), layout or given.layout, engine or given.engine,
                    threads or given.threads, title)

    def folder(self, name, parent=None):
        """A new folder for one server."""
        path = os.path.join(parent or self.disk, name)
        os.mkdir(path)
        return path

    def all(self):
        """The peers, their AOF twins, then ours."""
        return [*self.peers, *self.aofs, *([self.ours] if self.ours else [])]

    def programs(self):
        """The program files."""
        return [server.program for server in self.all()]
