"""What only a client has: connections, pages, the server's refusals, other types of values."""

import pathlib
import tempfile
import threading

import pytest
from conftest import MEMORY, Server

import pmemkv
from pmemkv import _client


@pytest.fixture
def client(server):
    with pmemkv.Client(server.url) as client:
        client._command("FLUSHALL")
        yield client


def test_nobody_listens():
    with pytest.raises(pmemkv.ConnectionFailed) as raised:
        pmemkv.Client("redis://127.0.0.1:1", retry=None, socket_connect_timeout=1)
    assert isinstance(raised.value, ConnectionError) and isinstance(raised.value, pmemkv.Error)
    with pytest.raises(ValueError):
        pmemkv.Client("http://127.0.0.1:1")


def test_the_url_does_not_change_what_comes_back(server, client):
    client["key"] = "value"
    for options in ["decode_responses=True", "protocol=2", "protocol=3"]:
        with pmemkv.Client(f"{server.url}?{options}") as other:
            assert other.get("key") == b"value"
            met = []
            other.get_all(lambda *pair: met.append(pair))
            other.get_keys(met.append)
            assert met == [(b"key", b"value"), b"key"]


def test_databases_are_apart(server, client):
    client["key"] = "value"
    with pmemkv.Client(server.url[:-1] + "1") as other:
        assert "key" not in other and len(other) == 0


@pytest.mark.parametrize("size", [1, 100, 300_000])
def test_a_walk_asks_for_pages(client, monkeypatch, size):
    keys = [b"%05d" % number for number in range(40)]
    for key in keys:
        client.put(key, b"v" * size)
    pages = []
    page = client._page
    monkeypatch.setattr(
        client, "_page", lambda *arguments: pages.append((arguments[3], len(reply := page(*arguments)))) or reply
    )
    for shape, bounds, wanted in [
        ("all", (), keys),
        ("above", (b"00003",), keys[4:]),
        ("equal_above", (b"00003",), keys[3:]),
        ("below", (b"00030",), keys[:30]),
        ("equal_below", (b"00030",), keys[:31]),
        ("between", (b"00003", b"00030"), keys[4:30]),
    ]:
        pages.clear()
        met = []
        getattr(client, f"get_{shape}")(*bounds, lambda key, value: met.append((key, len(value))))
        assert met == [(key, size) for key in wanted]
        limits = [limit for limit, _ in pages]
        assert limits[0] == _client.PAGE_PAIRS_FIRST and sum(count for _, count in pages) == len(wanted)
        # Small values: more at a time. Large ones: about a mebibyte.
        assert all(limit == 3 for limit in limits[1:]) if size == 300_000 else limits[1] == 32


def test_a_callback_may_change_what_it_walks(client):
    for number in range(100):
        client.put(f"{number:03}", "v")
    client.get_keys(client.remove)
    assert len(client) == 0


def test_a_value_of_another_type(client):
    client._command("RPUSH", "list", "item")
    with pytest.raises(pmemkv.InvalidArgument, match="WRONGTYPE"):
        client.get("list")
    client.get_all(lambda key, value: pytest.fail("no string"))
    assert client.count_all() == 0 and client.exists("list")
    client.put("list", "a string now")
    assert client["list"] == "a string now"


def test_a_full_server(client):
    client["key"] = "value"
    client._command("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(pmemkv.OutOfMemory) as raised:
            client.put("more", "value")
        assert isinstance(raised.value, MemoryError)
        assert client["key"] == "value"
    finally:
        client._command("CONFIG", "SET", "maxmemory", "0")


def test_a_user_who_may_not(server, client):
    client._command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+get", "+ping", "+hello", "+client")
    try:
        with pmemkv.Client(server.url.replace("//", "//reader:secret@")) as reader:
            with pytest.raises(pmemkv.NotSupported, match="no permissions"):
                reader.put("key", "value")
        with pytest.raises(pmemkv.ConnectionFailed):
            pmemkv.Client(server.url.replace("//", "//reader:wrong@"))
    finally:
        client._command("ACL", "DELUSER", "reader")


def test_threads_share_a_client(client):
    errors = []

    def work(number):
        try:
            for turn in range(50):
                key = f"{number} {turn}"
                client.put(key, key)
                assert client.get_string(key) == key
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == [] and client.count_all() == 200


def test_what_was_put_outlives_kill_9():
    with tempfile.TemporaryDirectory(prefix="pmemkv-python-", dir=MEMORY) as name:
        server = Server(pathlib.Path(name))
        try:
            with pmemkv.Client(server.url) as client:
                for number in range(500):
                    client.put(f"{number}", f"{number}" * 3)
                server.kill()
                with pytest.raises(pmemkv.ConnectionFailed):
                    client.get("1")
                assert server.start(), server.log()
                # The same client goes on.
                for number in range(500):
                    assert client.get_string(f"{number}") == f"{number}" * 3
            server.stop()
        finally:
            server.kill()
