"""What the examples that measure have in common: where to run, and a clock."""

import argparse
import contextlib
import pathlib
import tempfile
import time

import pmemkv

MEMORY = "/dev/shm"


def options(description, count, engines):
    """The command line of an example."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--count", type=int, default=count, help=f"pairs, by default {count:,}")
    parser.add_argument("--engines", default=engines, help=f"names with commas, by default {engines}")
    parser.add_argument("--url", help="a server at redis://HOST:PORT, instead of engines. Its database must be empty")
    return parser.parse_args()


@contextlib.contextmanager
def opened(engine, bytes_wanted):
    """A fresh database of this engine in memory; if the engine is a URL, the server's."""
    if "://" in engine:
        with pmemkv.Client(engine) as db:
            if db.count_all() > 0:
                raise SystemExit(f"{engine} is not empty")
            yield db
            db.get_keys(db.remove)
        return
    with tempfile.TemporaryDirectory(prefix="pmemkv-example-", dir=MEMORY) as folder:
        config = {"size": bytes_wanted}
        if engine in ("vcmap", "vsmap"):
            config["path"] = folder
        elif engine != "blackhole":
            config["path"] = pathlib.Path(folder) / "pool"
            config["force_create"] = 1
        with pmemkv.Database(engine, config) as db:
            yield db


@contextlib.contextmanager
def timed(what, failures):
    """Prints how long the block takes and, after it, what `failures` says."""
    print(what)
    start = time.perf_counter()
    yield
    print(f"   in {time.perf_counter() - start:.3f} sec(s), failures={failures()}")
