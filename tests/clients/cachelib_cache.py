"""cachelib's RedisCache, which Flask-Caching and Flask-Session use."""

import importlib.metadata

import redis
from cachelib import RedisCache

from common import HOST, PORT, WARM, check, check_within, restart, version, wait_until


def main():
    version(importlib.metadata.version("cachelib"))
    raw = redis.Redis(host=HOST, port=PORT)
    raw.set("a stranger's", "v")
    cache = RedisCache(host=HOST, port=PORT, key_prefix="app:", default_timeout=300)
    check("get of nothing", cache.get("absent"), None)
    check("set", [cache.set("k", {"a": 1}), cache.get("k")], [True, {"a": 1}])
    check_within("the default timeout", raw.ttl("app:k"), 298, 300)
    check("for ever", [cache.set("ever", 1, timeout=0), raw.ttl("app:ever")], [True, -1])
    check("add", [cache.add("k", 2), cache.add("new", 2, timeout=50)], [False, True])
    check_within("timeout of add", raw.ttl("app:new"), 48, 50)
    check("has", [cache.has("k"), cache.has("absent")], [True, False])

    wanted = {f"m{i}": i for i in range(200)}
    check("set_many", sorted(cache.set_many(wanted, timeout=60)), sorted(wanted))
    check_within("timeout of set_many", raw.ttl("app:m199"), 58, 60)
    check("get_many", cache.get_many("m1", "absent", "m2"), [1, None, 2])
    check("get_dict", cache.get_dict("m1", "m2"), {"m1": 1, "m2": 2})
    check("delete_many", sorted(cache.delete_many("m1", "m2")), ["m1", "m2"])
    check("delete", [cache.delete("k"), cache.delete("k")], [True, False])

    check("inc", [cache.inc("n"), cache.inc("n", 41), cache.dec("n", 2)], [1, 42, 40])
    cache.set("short", 1, timeout=1)
    wait_until("it expires", lambda: cache.get("short") is None)

    if WARM:
        restart()
        check("after the restart", [cache.get("m5"), cache.get("ever"), cache.inc("n")], [5, 1, 41])
        check_within("its deadline", raw.ttl("app:m5"), 30, 60)
    check("clear", bool(cache.clear()), True)
    check("what is left", raw.keys("*"), [b"a stranger's"])


main()
