"""Which calls let other Python threads run meanwhile."""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from conftest import TARGET, config

import pmemkv

MIB = 1 << 20


@contextlib.contextmanager
def watcher():
    """Yields a function that makes a call and tells whether another thread ran during it.

    Nobody is made to give the interpreter's lock away: only who does so by itself lets the other thread run.
    """
    turns = 0
    ended = False

    def work():
        nonlocal turns
        while not ended:
            turns += 1
            time.sleep(0)

    def others_ran_during(call):
        before = turns
        call()
        return turns > before

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        sys.setswitchinterval(100)
        yield others_ran_during
    finally:
        sys.setswitchinterval(interval)
        ended = True
        thread.join()


def filled(engine, folder, count, size=96 * MIB):
    db = pmemkv.Database(engine, config(engine, folder, size))
    for number in range(count):
        db.put(f"{number:08}", "value")
    return db


def test_long_calls_let_others_run(folder):
    with watcher() as others_ran_during:
        # As many as it takes: on a busy machine the other thread does not wake up during each call.
        def some_time(call):
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                if others_ran_during(call):
                    return True
            return False

        with filled("stree", folder, 20_000) as db:
            large = b"x" * (16 * MIB)
            db.put("large", large)
            assert some_time(lambda: db.put("large", large))
            assert some_time(lambda: db.get("large"))
            assert some_time(lambda: db.count_above("0"))
            assert some_time(lambda: db.get_keys([].append))
            items = config("cmap", folder)
            items["path"] += ".other"
            pmemkv.Database("cmap", items).stop()
            items.pop("force_create")
            assert some_time(lambda: pmemkv.Database("cmap", items).stop())


def test_short_calls_keep_the_lock(folder):
    with filled("cmap", folder, 100) as db, watcher() as others_ran_during:

        def calls():
            for _ in range(100):
                db.put("00000001", "value")
                db.get("00000001")
                db.get_string("00000001")
                db.exists("00000001")
                db.count_all()

        assert not others_ran_during(calls)


def test_a_put_lets_others_run_while_the_table_grows(folder):
    with filled("cmap", folder, 0, 256 * MIB) as db, watcher() as others_ran_during:
        # Where the machine is busy, the other thread may wake up too late: the next growth takes twice as long.
        for power in (16, 17, 18):
            for number in range(db.count_all(), (1 << power) - 3):
                db.put(f"{number:08}", "value")
            assert not others_ran_during(lambda: db.put(f"one before {power}", "value"))
            assert db.count_all() == (1 << power) - 2
            if others_ran_during(lambda: db.put(f"makes it grow {power}", "value")):
                break
        else:
            pytest.fail("nobody else ran during a put of more than 50 ms")
        assert not others_ran_during(lambda: db.put("one after", "value"))


def test_a_put_on_a_disk_lets_others_run():
    kind = subprocess.run(["stat", "-f", "-c", "%T", TARGET], capture_output=True, text=True, check=True).stdout
    if kind.strip() in ("tmpfs", "ramfs") or os.environ.get("PMEM_IS_PMEM_FORCE") == "1":
        pytest.skip(f"a put waits for nothing in {TARGET}")
    with tempfile.TemporaryDirectory(prefix="pmemkv-python-", dir=TARGET) as name:
        items = config("cmap", pathlib.Path(name), 16 * MIB)
        with pmemkv.Database("cmap", items) as db, watcher() as others_ran_during:
            assert any(others_ran_during(lambda: db.put("key", "value")) for _ in range(5000))
