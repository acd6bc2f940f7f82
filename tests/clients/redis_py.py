"""redis-py: plain calls, pipelines, transactions, locks, pub/sub, a restart.

Its client-side caching is not among them: the library wants a server that calls itself Redis 7.4 for it.
"""

import time
import warnings

import redis

from common import HOST, PORT, WARM, check, check_raises, check_within, restart, version, wait_until

# setex has been superseded in the library, not in the servers that people use it with.
warnings.simplefilter("ignore", DeprecationWarning)


def strings(client):
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
    check_within("ttl", client.ttl("short"), 98, 100)
    check("expire", client.expire("k", 50), True)
    check("expire nx", client.expire("k", 60, nx=True), False)
    check("expire gt", client.expire("k", 60, gt=True), True)
    check_within("pttl", client.pttl("k"), 58_000, 60_000)
    check("persist", client.persist("k"), True)
    check("ttl without", client.ttl("k"), -1)
    check("ttl of nothing", client.ttl("absent"), -2)
    check("getex", client.getex("k", px=70_000), b"w")
    check_within("pttl after getex", client.pttl("k"), 68_000, 70_000)
    check("touch", client.touch("k", "short", "absent"), 2)

    check("mset", client.mset({f"scan:{i}": i for i in range(500)}), True)
    check("mget", client.mget("scan:1", "absent", "scan:499"), [b"1", None, b"499"])
    found = set(client.scan_iter(match="scan:*", count=50))
    check("scan_iter", found, {b"scan:%d" % i for i in range(500)})
    check("unlink", client.unlink(*found), 500)

    check("incr", [client.incr("n"), client.incrby("n", 41), client.decr("n")], [1, 42, 41])
    check("incrbyfloat", client.incrbyfloat("f", 1.5), 1.5)
    with client.pipeline(transaction=False) as pipe:
        for i in range(1000):
            pipe.set(f"p:{i}", i)
            pipe.get(f"p:{i}")
        replies = pipe.execute()
    check("pipeline", replies, [part for i in range(1000) for part in (True, b"%d" % i)])
    said = check_raises("incr of a text", redis.ResponseError, lambda: client.incr("k"))
    check("error", said, "value is not an integer or out of range")

    check("delete", client.delete("k", "n", "absent"), 2)
    check("exists", client.exists("k", "f"), 1)
    check("type", client.type("f"), b"string")
    check("getdel", client.getdel("f"), b"1.5")


def long_pipeline(client):
    """The library writes all of a pipeline before it reads: over a Unix socket that is more than its buffers hold."""
    value = b"v" * 1024
    client.set("large", value)
    with redis.Redis(unix_socket_path=client.config_get("unixsocket")["unixsocket"], socket_timeout=20) as local:
        for transaction, count in ((False, 4000), (True, 20_000)):
            with local.pipeline(transaction=transaction) as pipe:
                for _ in range(count):
                    pipe.get("large")
                check("a long pipeline", pipe.execute() == [value] * count, True)


def introspection(client):
    check("info", int(client.info()["db0"]["keys"]), client.dbsize())
    check("config get", client.config_get("maxclients"), {"maxclients": "10000"})
    check("client setname", client.client_setname("checker"), True)
    check("client getname", client.client_getname() in ("checker", b"checker"), True)
    check("client list", [c["name"] for c in client.client_list()].count("checker"), 1)
    # What the library says of itself at the handshake; Redis 7.0 does not know it yet.
    told = client.client_info()
    if WARM or "lib-ver" in told:
        check("lib-ver", told["lib-ver"], redis.__version__)


def transactions(client, other):
    client.flushdb()
    with client.pipeline() as pipe:
        replies = pipe.set("a", 1).incrby("a", 41).expire("a", 100).get("a").ttl("a").execute()
    check("multi", replies, [True, 42, True, b"42", 100])
    with client.pipeline() as pipe:
        # An error inside does not undo the others.
        replies = pipe.set("t", "x").incr("t").set("u", "y").execute(raise_on_error=False)
    check("error in multi", [replies[0], type(replies[1]), replies[2]], [True, redis.ResponseError, True])
    with client.pipeline() as pipe:
        pipe.set("never", "x").execute_command("GET")
        said = check_raises("wrong call in multi", redis.ResponseError, pipe.execute)
    check("wrong call in multi", "wrong number of arguments for 'get' command" in said, True)
    check("nothing ran", client.exists("never"), 0)

    with client.pipeline() as pipe:
        pipe.watch("a")
        seen = int(pipe.get("a"))
        other.set("a", 7)
        pipe.multi()
        pipe.set("a", seen + 1)
        check_raises("a changed watched key", redis.WatchError, pipe.execute)
    check("not overwritten", client.get("a"), b"7")

    tries = []

    def increase(pipe):
        tries.append(int(pipe.get("a")))
        if len(tries) == 1:
            other.set("a", 100)
        pipe.multi()
        pipe.set("a", tries[-1] + 1)

    check("transaction helper", client.transaction(increase, "a"), [True])
    check("tried again", [tries, client.get("a")], [[7, 100], b"101"])


def acquire(client, name, token, ms):
    """A lock as redis-py makes one; a release that compares by WATCH shows the transaction's side of it."""
    return bool(client.set(name, token, nx=True, px=ms))


def release(client, name, token):
    with client.pipeline() as pipe:
        try:
            pipe.watch(name)
            if pipe.get(name) != token:
                return False
            pipe.multi()
            pipe.delete(name)
            return pipe.execute() == [1]
        except redis.WatchError:
            return False


def locks(client):
    client.flushdb()
    check("acquire", acquire(client, "lock", b"one", 10_000), True)
    check("held", acquire(client, "lock", b"two", 10_000), False)
    check("release by a stranger", release(client, "lock", b"two"), False)
    check("release", release(client, "lock", b"one"), True)
    check("acquire again", acquire(client, "lock", b"two", 60), True)
    wait_until("the lock expires", lambda: acquire(client, "lock", b"three", 10_000))
    check("release too late", release(client, "lock", b"two"), False)
    # The library's own class acquires by SET; it releases, extends and reacquires by Lua scripts.
    check("held against Lock", client.lock("lock", blocking_timeout=0.2).acquire(), False)
    client.delete("lock")
    check("acquired by Lock", client.lock("lock", timeout=5).acquire(), True)
    check_within("timeout of Lock", client.pttl("lock"), 4_000, 5_000)
    mine = client.lock("mine", timeout=5)
    check("acquire mine", mine.acquire(), True)
    check("extend", mine.extend(10), True)
    check_within("extended", client.pttl("mine"), 13_000, 15_000)
    check("reacquire", mine.reacquire(), True)
    check_within("reacquired", client.pttl("mine"), 4_000, 5_000)
    client.set("mine", "another")
    try:
        mine.release()
        raise SystemExit("a stranger's lock was released")
    except redis.exceptions.LockNotOwnedError:
        pass
    client.delete("mine")
    with client.lock("mine", timeout=5):
        check("held", client.exists("mine"), 1)
    check("released", client.exists("mine"), 0)


def scripts(client):
    client.flushdb()
    limit = client.register_script(
        """local n = redis.call('INCR', KEYS[1])
        if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
        return {n, redis.call('PTTL', KEYS[1])}"""
    )
    check("first", limit(keys=["hits"], args=[60_000])[0], 1)
    # It goes by EVALSHA; the library loads the script again where the server does not know it.
    client.script_flush()
    count, ttl = limit(keys=["hits"], args=[60_000])
    check("second", count, 2)
    check_within("its deadline", ttl, 55_000, 60_000)
    with client.pipeline(transaction=True) as pipe:
        limit(keys=["hits"], args=[1], client=pipe)
        pipe.get("hits")
        check("in a transaction", pipe.execute()[1], b"3")
    try:
        client.eval("return redis.call('LPUSH', KEYS[1], 1)", 1, "hits")
        raise SystemExit("a list was pushed to a string")
    except redis.ResponseError as error:
        check("the error tells the line", "WRONGTYPE" in str(error) and "user_script:1" in str(error), True)


def next_message(pubsub):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        message = pubsub.get_message(timeout=0.5)
        if message is not None:
            return message["type"], message["channel"], message["data"]
    raise SystemExit("no message")


def pubsub(client):
    with client.pubsub() as listener:
        listener.subscribe("news", "other")
        check("subscribed", next_message(listener), ("subscribe", b"news", 1))
        check("subscribed", next_message(listener), ("subscribe", b"other", 2))
        listener.psubscribe("n*")
        check("psubscribed", next_message(listener), ("psubscribe", b"n*", 3))
        check("publish", client.publish("news", b"\x00\xff"), 2)
        got = sorted([next_message(listener), next_message(listener)])
        check("messages", got, [("message", b"news", b"\x00\xff"), ("pmessage", b"news", b"\x00\xff")])
        check("publish to nobody", client.publish("empty", "x"), 0)
        check("numsub", client.pubsub_numsub("news", "empty"), [(b"news", 1), (b"empty", 0)])
        check("channels", sorted(client.pubsub_channels("*")), [b"news", b"other"])
        check("numpat", client.pubsub_numpat(), 1)
        listener.unsubscribe("other")
        check("unsubscribed", next_message(listener), ("unsubscribe", b"other", 2))


def notifications(client):
    """A message of an expired key, as task queues and caches use it."""
    client.config_set("notify-keyspace-events", "Ex")
    with client.pubsub() as listener:
        listener.psubscribe("__keyevent@0__:expired")
        next_message(listener)
        client.set("gone", "v", px=30)
        check("expired", next_message(listener)[2], b"gone")
    client.config_set("notify-keyspace-events", "")


def restarted(client):
    """After a kill of the server, the same objects go on and find their data."""
    client.flushdb()
    client.set("session", "kept", ex=100)
    client.set("short", "v", px=200)
    with client.pipeline() as pipe:
        pipe.set("t:1", "a").set("t:2", "b").execute()
    listener = client.pubsub()
    listener.subscribe("news")
    next_message(listener)
    restart()
    check("after the restart", client.mget("session", "t:1", "t:2"), [b"kept", b"a", b"b"])
    check_within("its deadline", client.ttl("session"), 60, 100)
    wait_until("expired meanwhile", lambda: client.get("short") is None)

    # A subscriber notices when it next listens, and subscribes again by itself.
    def heard():
        client.publish("news", "again")
        try:
            message = listener.get_message(ignore_subscribe_messages=True, timeout=0.1)
        except redis.ConnectionError:
            return False
        return message is not None and message["data"] == b"again"

    wait_until("the subscription comes back", heard)
    listener.close()


def main():
    version(redis.__version__)
    for options in ({}, {"protocol": 2}, {"protocol": 3}):
        with redis.Redis(host=HOST, port=PORT, **options) as client:
            strings(client)
            long_pipeline(client)
            introspection(client)
            with redis.Redis(host=HOST, port=PORT, **options) as other:
                transactions(client, other)
            locks(client)
            scripts(client)
            pubsub(client)
            notifications(client)
    if WARM:
        with redis.Redis(host=HOST, port=PORT) as client:
            restarted(client)


main()
