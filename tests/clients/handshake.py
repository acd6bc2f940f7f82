"""Checks redis-py against a running server: handshake.py PORT. The first wrong answer ends it."""

import sys
import warnings

import redis

# setex has been superseded in the library, not in the servers that people use it with.
warnings.simplefilter("ignore", DeprecationWarning)


def check(what, found, wanted):
    if found != wanted:
        sys.exit(f"redis-py {redis.__version__}: {what}: {found!r}, not {wanted!r}")


def exercise(client):
    client.flushdb()
    check("ping", client.ping(), True)
    check("set", client.set("k", "v"), True)
    check("get", client.get("k"), b"v")
    check("get of nothing", client.get("absent"), None)
    check("set nx", client.set("k", "w", nx=True), None)
    check("set get", client.set("k", "w", get=True), b"v")
    binary = bytes(range(256)) * 300
    check("set binary", client.set(b"\x00\r\n", binary), True)
    check("get binary", client.get(b"\x00\r\n"), binary)

    check("setex", client.setex("short", 100, "v"), True)
    check("ttl", 98 <= client.ttl("short") <= 100, True)
    check("expire", client.expire("k", 50), True)
    check("pttl", 48_000 <= client.pttl("k") <= 50_000, True)
    check("persist", client.persist("k"), True)
    check("ttl without", client.ttl("k"), -1)
    check("ttl of nothing", client.ttl("absent"), -2)

    check("mset", client.mset({f"scan:{i}": i for i in range(500)}), True)
    check("mget", client.mget("scan:1", "absent", "scan:499"), [b"1", None, b"499"])
    found = set(client.scan_iter(match="scan:*", count=50))
    check("scan_iter", found, {b"scan:%d" % i for i in range(500)})

    check("incr", [client.incr("n"), client.incrby("n", 41), client.decr("n")], [1, 42, 41])
    check("incrbyfloat", client.incrbyfloat("f", 1.5), 1.5)
    with client.pipeline(transaction=False) as pipe:
        for i in range(1000):
            pipe.set(f"p:{i}", i)
            pipe.get(f"p:{i}")
        replies = pipe.execute()
    check("pipeline", replies, [part for i in range(1000) for part in (True, b"%d" % i)])
    try:
        client.incr("k")
    except redis.ResponseError as error:
        check("error", str(error), "value is not an integer or out of range")
    else:
        sys.exit("redis-py: INCR of a text was not refused")

    check("delete", client.delete("k", "n", "absent"), 2)
    check("exists", client.exists("k", "f"), 1)
    check("type", client.type("f"), b"string")
    check("info", int(client.info()["db0"]["keys"]), client.dbsize())
    check("config get", client.config_get("maxclients"), {"maxclients": "10000"})
    check("client setname", client.client_setname("checker"), True)
    # Text with RESP2, bytes with RESP3.
    check("client getname", client.client_getname() in ("checker", b"checker"), True)


def main():
    port = int(sys.argv[1])
    for title, options in (("default", {}), ("RESP2", {"protocol": 2}), ("RESP3", {"protocol": 3})):
        with redis.Redis(host="127.0.0.1", port=port, **options) as client:
            exercise(client)
        print(f"redis-py {redis.__version__}, {title} handshake: passed")


main()
