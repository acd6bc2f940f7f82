"""redis-py: entries of streams, groups of consumers, waiting, and what a restart leaves."""

import threading
import time

import redis

from common import HOST, PORT, WARM, check, check_raises, check_within, restart, version


def connect(**options):
    return redis.Redis(host=HOST, port=PORT, decode_responses=True, **options)


def entries(client):
    client.flushdb()
    ids = [client.xadd("s", {"number": number, "name": f"n{number}"}, id=f"{number + 1}-0") for number in range(10)]
    check("ids", ids[:2], ["1-0", "2-0"])
    check("a part of an id", client.xadd("s", {"f": "v"}, id="10-*"), "10-1")
    check("an id of the server", client.xadd("own", {"f": "v"}).count("-"), 1)
    check("no stream", client.xadd("absent", {"f": "v"}, nomkstream=True), None)
    check("length", client.xlen("s"), 11)
    check("range", client.xrange("s", "2", "3"), [(f"{n}-0", {"number": str(n - 1), "name": f"n{n - 1}"}) for n in (2, 3)])
    check("open range", [entry[0] for entry in client.xrange("s", "(9-0", "+")], ["10-0", "10-1"])
    check("backwards", [entry[0] for entry in client.xrevrange("s", count=2)], ["10-1", "10-0"])
    check("delete", client.xdel("s", "1-0", "10-1", "77-0"), 2)
    check("trim", client.xtrim("s", maxlen=7, approximate=False), 2)
    check("trim to an id", client.xtrim("s", minid="6", approximate=False), 2)
    check("about", client.xadd("s", {"f": "v"}, id="11-0", maxlen=1000, approximate=True), "11-0")
    check("limit", client.xtrim("s", maxlen=1000, approximate=True, limit=10), 0)
    info = client.xinfo_stream("s")
    check("info", [info["length"], info["last-generated-id"], info["entries-added"]], [6, "11-0", 12])
    check("first", info["first-entry"], ("6-0", {"number": "5", "name": "n5"}))
    check_raises("lower id", redis.ResponseError, lambda: client.xadd("s", {"f": "v"}, id="3-0"))
    check("read", client.xread({"s": "9-0"}, count=1), answer([["s", [("10-0", {"number": "9", "name": "n9"})]]], client))
    check("nothing new", client.xread({"s": "$"}), nothing(client))
    check("nothing in time", client.xread({"s": "$"}, block=20), nothing(client))
    assert client.execute_command("XSETID", "s", "50-0")


def answer(streams, client):
    """Streams and their entries as the client returns them in its protocol."""
    if client.get_connection_kwargs().get("protocol") in ("3", 3):
        return {name: [found] for name, found in streams}
    return streams


def nothing(client):
    return {} if client.get_connection_kwargs().get("protocol") in ("3", 3) else []


def ids_of(read):
    """The ids of all entries that a read returned, in either protocol."""
    if isinstance(read, dict):
        return [entry[0] for pages in read.values() for page in pages for entry in page]
    return [entry[0] for _, page in read for entry in page]


def waiting(client):
    client.flushdb()
    found = []
    reader = threading.Thread(target=lambda: found.extend(ids_of(connect().xread({"w": "$"}, block=10_000))))
    reader.start()
    deadline = time.monotonic() + 10
    while client.info("clients")["blocked_clients"] == 0:
        assert time.monotonic() < deadline, "the reader does not wait"
        time.sleep(0.01)
    client.xadd("w", {"f": "v"}, id="5-5")
    reader.join()
    check("what came", found, ["5-5"])


def groups(client):
    client.flushdb()
    check("create", client.xgroup_create("g", "workers", id="0", mkstream=True), True)
    text = check_raises("twice", redis.ResponseError, lambda: client.xgroup_create("g", "workers"))
    check("why", "already exists" in text or "BUSYGROUP" in text, True)
    for number in range(1, 9):
        client.xadd("g", {"job": number}, id=f"{number}-0")
    read = client.xreadgroup("workers", "alice", {"g": ">"}, count=3)
    check("alice", ids_of(read), ["1-0", "2-0", "3-0"])
    check("bob", ids_of(client.xreadgroup("workers", "bob", {"g": ">"}, count=2)), ["4-0", "5-0"])
    check("again", ids_of(client.xreadgroup("workers", "alice", {"g": "0"})), ["1-0", "2-0", "3-0"])
    check("without a trace", ids_of(client.xreadgroup("workers", "bob", {"g": ">"}, count=1, noack=True)), ["6-0"])
    check("acknowledge", client.xack("g", "workers", "1-0", "77-0"), 1)
    pending = client.xpending("g", "workers")
    check("pending", [pending["pending"], pending["min"], pending["max"]], [4, "2-0", "5-0"])
    check("of each", {one["name"]: one["pending"] for one in pending["consumers"]}, {"alice": 2, "bob": 2})
    details = client.xpending_range("g", "workers", "-", "+", 10, consumername="alice")
    check("details", [(one["message_id"], one["times_delivered"]) for one in details], [("2-0", 2), ("3-0", 2)])
    check("claim", ids_in(client.xclaim("g", "workers", "carol", 0, ["2-0"], retrycount=7)), ["2-0"])
    check("only ids", client.xclaim("g", "workers", "carol", 0, ["3-0"], justid=True), ["3-0"])
    client.xdel("g", "4-0")
    following, claimed, deleted = client.xautoclaim("g", "workers", "dave", 0, "0-0", count=10)
    check("claim all", [following, ids_in(claimed), deleted], ["0-0", ["2-0", "3-0", "5-0"], ["4-0"]])
    check("make a consumer", client.xgroup_createconsumer("g", "workers", "erin"), 1)
    consumers = {one["name"]: one["pending"] for one in client.xinfo_consumers("g", "workers")}
    check("consumers", consumers, {"alice": 0, "bob": 0, "carol": 0, "dave": 3, "erin": 0})
    check("remove one", client.xgroup_delconsumer("g", "workers", "dave"), 3)
    (group,) = client.xinfo_groups("g")
    check("group", [group["consumers"], group["pending"], group["last-delivered-id"]], [4, 0, "6-0"])
    check("start anew", client.xgroup_setid("g", "workers", "0"), True)
    check("from the start", ids_of(client.xreadgroup("workers", "alice", {"g": ">"}))[0], "1-0")
    full = client.xinfo_stream("g", full=True)
    check("all of it", [full["length"], len(full["groups"])], [7, 1])
    check("destroy", client.xgroup_destroy("g", "workers"), True)
    check_raises("no group", redis.ResponseError, lambda: client.xreadgroup("workers", "alice", {"g": ">"}))


def ids_in(entries):
    return [entry[0] for entry in entries]


def survives(client):
    client.flushdb()
    client.xgroup_create("kept", "workers", mkstream=True)
    with client.pipeline(transaction=True) as pipeline:
        for number in range(1, 301):
            pipeline.xadd("kept", {"number": number}, id=f"{number}-0")
        pipeline.execute()
    read = ids_of(client.xreadgroup("workers", "alice", {"kept": ">"}, count=200))
    client.xack("kept", "workers", *read[:150])
    client.xdel("kept", "300-0")
    restart()
    check("length", client.xlen("kept"), 299)
    check("pending", client.xpending("kept", "workers")["pending"], 50)
    check("next", ids_of(client.xreadgroup("workers", "bob", {"kept": ">"}, count=1)), ["201-0"])
    check("no id twice", client.xadd("kept", {"f": "v"}, id="300-*"), "300-1")
    (group,) = client.xinfo_groups("kept")
    check("still to read", group["lag"] in (None, 100), True)


def main():
    version(redis.__version__)
    for protocol in (2, 3):
        client = connect(protocol=protocol)
        entries(client)
        waiting(client)
        groups(client)
        if WARM:
            survives(client)


if __name__ == "__main__":
    main()
