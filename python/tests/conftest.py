"""The places that one test suite runs against: each engine in this process, and a server over the wire."""

import contextlib
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time

import pytest

import pmemkv

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
SERVER = os.environ.get("PMEMKV_SERVER", str(TARGET / "debug" / "pmemkv-server"))
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None

START_SECONDS_MAX = 30
# Another process may take the port between the choice and the bind.
STARTS_MAX = 5
# Room for a value of 16 MiB, its new version, and the rest.
POOL_BYTES = 96 << 20

ENGINES = ("cmap", "stree", "vcmap", "vsmap")
SORTED = ("stree", "vsmap", "wire")


def config(engine, folder, size=POOL_BYTES):
    """What opens an engine in a fresh folder."""
    if engine == "blackhole":
        return {}
    if engine in ("vcmap", "vsmap"):
        return {"path": str(folder), "size": size}
    return {"path": str(folder / "pool"), "size": size, "force_create": 1}


@pytest.fixture
def folder():
    """A folder in memory, where pools are fast."""
    with tempfile.TemporaryDirectory(prefix="pmemkv-python-", dir=MEMORY) as name:
        yield pathlib.Path(name)


class Server:
    """A pmemkv-server of the tests' own."""

    def __init__(self, folder):
        self.folder = folder
        for _ in range(STARTS_MAX):
            # Below the range from which the kernel takes ports for others' connections.
            self.port = random.randrange(20_000, 32_000)
            if self.start():
                return
        raise RuntimeError(f"{SERVER} does not start:\n{self.log()}")

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        """False if the process ends, or another server answers, instead of this one."""
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [
                    SERVER,
                    *("--port", str(self.port), "--bind", "127.0.0.1", "--maxmemory-policy", "noeviction"),
                    *("--pool-path", self.folder / "pool", "--pool-size", "256mb"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(pmemkv.Error):
                with pmemkv.Client(self.url) as client:
                    if client._command("INFO", "server")["process_id"] == self.process.pid:
                        return True
            time.sleep(0.02)
        self.kill()
        return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=START_SECONDS_MAX) == 0, self.log()

    def log(self):
        return (self.folder / "log").read_text(errors="replace")[-5000:]


@pytest.fixture(scope="session")
def server():
    """One server for all tests."""
    if shutil.which(SERVER) is None:
        pytest.fail(f"no server at {SERVER}: run 'cargo build' first, or set PMEMKV_SERVER")
    with tempfile.TemporaryDirectory(prefix="pmemkv-python-", dir=MEMORY) as name:
        server = Server(pathlib.Path(name))
        yield server
        server.stop()


def opened(name, folder, request):
    """A fresh, empty database of an engine, or over the wire."""
    if name != "wire":
        return pmemkv.Database(name, config(name, folder))
    client = pmemkv.Client(request.getfixturevalue("server").url)
    client._command("FLUSHALL")
    return client


@pytest.fixture(params=[*ENGINES, "wire"])
def db(request, folder):
    """A fresh database in each place."""
    with opened(request.param, folder, request) as db:
        yield db


@pytest.fixture(params=SORTED)
def ordered(request, folder):
    """A fresh database in each place that has ranges."""
    with opened(request.param, folder, request) as db:
        yield db
