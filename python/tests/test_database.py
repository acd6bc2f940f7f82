"""What only a database in this process has: configs, engines, exceptions of pmemkv, threads, forks, crashes."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import ENGINES, config

import pmemkv

MIB = 1 << 20


@pytest.mark.parametrize("engine", [*ENGINES, "blackhole"])
@pytest.mark.parametrize("form", [dict, json.dumps, lambda items: json.dumps(items).encode()])
def test_configs_are_dicts_or_json(engine, form, folder):
    with pmemkv.Database(engine, form(config(engine, folder, 16 * MIB))) as db:
        assert db.engine == engine and json.loads(db.config) == config(engine, folder, 16 * MIB)
        db.put("key", "value")
        assert db.exists("key") == (engine != "blackhole")


def test_a_path_object_will_do(folder):
    with pmemkv.Database("vsmap", {"path": pathlib.Path(folder), "size": 16 * MIB}) as db:
        db["key"] = "value"


@pytest.mark.parametrize(
    "engine, items, error, status, message",
    [
        ("nope", {}, pmemkv.WrongEngineName, 9, 'Unknown engine name "nope"'),
        ("vsmap", {}, pmemkv.InvalidArgument, 4, "does not contain item"),
        ("vsmap", "{}", pmemkv.InvalidArgument, 4, "does not contain item"),
        ("vsmap", "{", pmemkv.ConfigParsingError, 5, "not valid JSON"),
        ("vsmap", "[]", pmemkv.ConfigParsingError, 5, "must be a JSON object"),
        ("vsmap", {"size": 1.5}, pmemkv.ConfigParsingError, 5, "a float"),
        ("vsmap", {"size": None}, pmemkv.ConfigParsingError, 5, "null"),
        ("vsmap", {"path": ["a"]}, pmemkv.ConfigParsingError, 5, "an array"),
        ("vsmap", {"path": "/no/such/folder", "size": 16 * MIB}, pmemkv.Error, None, ""),
        ("cmap", {"path": "/no/such/folder/pool", "size": 16 * MIB}, pmemkv.Error, None, "No such file"),
        ("vsmap", {"path": "a\0b", "size": 16 * MIB}, pmemkv.InvalidArgument, 4, "NUL"),
        ("a\0b", {}, pmemkv.InvalidArgument, 4, "NUL"),
    ],
)
def test_bad_configs(engine, items, error, status, message):
    with pytest.raises(error) as raised:
        pmemkv.Database(engine, items)
    assert message in str(raised.value)
    assert status is None or raised.value.status == status


@pytest.mark.parametrize("wrong", [None, 5, ["a"]])
def test_a_config_of_another_type(wrong):
    with pytest.raises(TypeError, match="config must be a dict or JSON text"):
        pmemkv.Database("blackhole", wrong)


def test_a_file_that_is_no_pool(folder):
    (folder / "pool").write_bytes(b"")
    with pytest.raises(pmemkv.InvalidArgument, match="not a pool"):
        pmemkv.Database("cmap", {"path": folder / "pool"})


def test_blackhole_keeps_nothing():
    with pmemkv.Database("blackhole", {}) as db:
        db.put("key", "value")
        assert not db.exists("key") and db.count_all() == 0 and db.remove("key")
        with pytest.raises(KeyError):
            db.get("key")
        with pytest.raises(KeyError):
            db.get_string("key")
        db.get_all(lambda key, value: pytest.fail("there is nothing"))
        db.get_keys_above("a", lambda key: pytest.fail("there is nothing"))
        assert db.count_above("a") == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_full_pool(engine, folder):
    with pmemkv.Database(engine, config(engine, folder, 16 * MIB)) as db:
        db.put("small", "it")
        with pytest.raises(pmemkv.OutOfMemory) as raised:
            for number in range(64):
                db.put(f"large {number}", b"x" * MIB)
        assert isinstance(raised.value, MemoryError) and raised.value.status == 8
        assert db.get_string("small") == "it"


@pytest.mark.parametrize("engine", ["cmap", "stree"])
def test_a_pool_opens_again(engine, folder):
    items = config(engine, folder, 16 * MIB)
    with pmemkv.Database(engine, items) as db:
        db["key"] = "value"
    with pytest.raises(pmemkv.Error):
        pmemkv.Database(engine, items)
    del items["force_create"]
    with pmemkv.Database(engine, items) as db:
        assert db["key"] == "value"
        assert db["key"] == "value"


def test_a_subclass_has_a_constructor_of_its_own(folder):
    class Mine(pmemkv.Database):
        def __init__(self, path):
            super().__init__("vsmap", {"path": path, "size": 16 * MIB})
            self.mine = True

    with Mine(folder) as db:
        db["key"] = "value"
        assert db.mine and db["key"] == "value"


def test_a_subclass_may_define_operators_by_methods(folder):
    class Numbers(pmemkv.Database):
        def __setitem__(self, key, value):
            self.put(key, str(value))

        def __getitem__(self, key):
            return int(self.get_string(key))

        def __contains__(self, key):
            return self.exists(key)

        def __delitem__(self, key):
            self.remove(key)

        def __len__(self):
            return self.count_all()

    with Numbers("vsmap", config("vsmap", folder)) as db:
        db["key"] = 5
        assert db["key"] == 5 and "key" in db and len(db) == 1
        del db["key"]
        assert "key" not in db and len(db) == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_share_a_database(engine, folder):
    errors = []
    walks = []

    def work(number):
        try:
            for turn in range(200):
                key = f"{number} {turn}"
                db.put(key, key * 3)
                assert db.get_string(key) == key * 3
                if turn % 2:
                    assert db.remove(key)
                if turn % 50 == 0:
                    met = []
                    db.get_all(lambda key, value: met.append((bytes(key), bytes(value))))
                    assert all(value == key * 3 for key, value in met)
                    walks.append(len(met))
        except BaseException as error:
            errors.append(error)

    with pmemkv.Database(engine, config(engine, folder)) as db:
        db.put("large", "large" * 3)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert errors == [] and len(walks) == 16
        assert db.count_all() == 4 * 100 + 1


def test_several_databases_at_once(folder):
    with pmemkv.Database("cmap", config("cmap", folder)) as one:
        with pmemkv.Database("vsmap", config("vsmap", folder)) as other, pmemkv.Database("blackhole", {}):
            one["key"] = "one"
            other["key"] = "other"
            # A callback may use another database.
            one.get_all(lambda key, value: other.put(b"from " + key, value))
            assert one["key"] == "one" and other["from key"] == "one"


@pytest.mark.parametrize("engine", ENGINES)
def test_others_run_while_a_call_takes_time(engine, folder):
    """A walk keeps other calls of its database waiting, but no other Python code."""
    inside, go_on = threading.Event(), threading.Event()
    order = []

    def callback(key):
        if not inside.is_set():
            inside.set()
            assert go_on.wait(30)
            order.append("walk")

    def write():
        assert inside.wait(30)
        db.put("new", "x")
        order.append("write")

    with pmemkv.Database(engine, config(engine, folder)) as db:
        db.put("key", "value")
        threads = [threading.Thread(target=write), threading.Thread(target=lambda: db.get_keys(callback))]
        for thread in threads:
            thread.start()
        assert inside.wait(30)
        # The writer waits for the database, this thread runs.
        time.sleep(0.05)
        assert order == []
        go_on.set()
        for thread in threads:
            thread.join(30)
        assert order == ["walk", "write"] and db.exists("new")


def test_a_stop_waits_for_the_calls_of_others(folder):
    inside, go_on = threading.Event(), threading.Event()
    order = []

    def callback(key):
        inside.set()
        assert go_on.wait(30)
        order.append("walk")

    def stop():
        db.stop()
        order.append("stop")

    db = pmemkv.Database("cmap", config("cmap", folder))
    db.put("key", "value")
    walker = threading.Thread(target=lambda: db.get_keys(callback))
    walker.start()
    assert inside.wait(30)
    stopper = threading.Thread(target=stop)
    stopper.start()
    while not db.stopped:
        time.sleep(0.001)
    with pytest.raises(pmemkv.Stopped):
        db.put("new", "x")
    go_on.set()
    walker.join(30)
    stopper.join(30)
    assert order == ["walk", "stop"]


def test_a_walk_hears_signals(folder):
    """Ctrl-C ends a walk whose callback is no Python code."""
    with pmemkv.Database("vsmap", config("vsmap", folder)) as db:
        for number in range(2000):
            db.put(str(number), "value")

        def handler(*_):
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(KeyboardInterrupt):
                # Ends when the signal has come, and only then.
                deadline = time.monotonic() + 30
                while time.monotonic() < deadline:
                    db.get_keys([].append)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert db.count_all() == 2000


def test_a_forked_child_does_not_touch_the_database(folder):
    with pmemkv.Database("cmap", config("cmap", folder)) as db:
        db["key"] = "value"
        program = os.fork()
        if program == 0:
            status = 1
            try:
                for call in [lambda: db.put("key", "child"), lambda: db.get("key"), lambda: db.get_all(print)]:
                    try:
                        call()
                    except pmemkv.InvalidArgument as error:
                        assert "open it after the fork" in str(error)
                    else:
                        os._exit(2)
                db.stop()
                del db
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(program, 0)[1] == 0
        assert db["key"] == "value"
        db["key"] = "parent"
        assert db["key"] == "parent"


WRITER = """
import sys
import pmemkv

db = pmemkv.Database("cmap", sys.argv[1])
start = db.count_all()
for number in range(start, 1_000_000):
    db.put(f"{number:08}", f"{number}" * (number % 40))
    sys.stdout.buffer.write(b"%d\\n" % number)
    sys.stdout.buffer.flush()
"""


def test_what_was_put_outlives_kill_9(folder):
    items = config("cmap", folder)
    for _ in range(4):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, json.dumps(items)], stdout=subprocess.PIPE)
        # Some time after a put was acknowledged, in the middle of later ones.
        told = writer.stdout.readline()
        time.sleep(0.1)
        writer.kill()
        told = (told + writer.stdout.read()).splitlines(keepends=True)
        writer.wait()
        last = int([line for line in told if line.endswith(b"\n")][-1])
        items.pop("force_create", None)
        with pmemkv.Database("cmap", items) as db:
            for number in range(last + 1):
                assert db.get_string(f"{number:08}") == f"{number}" * (number % 40)
            # At most the one that was on its way.
            assert last + 1 <= db.count_all() <= last + 2


def test_an_import_does_not_wait_for_redis_py():
    program = "import sys, pmemkv; assert 'redis' not in sys.modules; pmemkv.Client; assert 'redis' in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        pmemkv.Nothing
