"""django-redis: all of it but collections. incr, decr and the release of locks are Lua scripts."""

import concurrent.futures

import django
import django_redis
from django.conf import settings

from common import URL, WARM, check, check_within, restart, version, wait_until

settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": URL,
            "KEY_PREFIX": "app",
            "OPTIONS": {"COMPRESSOR": "django_redis.compressors.zlib.ZlibCompressor"},
        }
    },
    USE_TZ=True,
)
django.setup()

from django.core.cache import cache  # noqa: E402


def values():
    cache.clear()
    check("set", cache.set("k", {"a": "x" * 5000}, timeout=60), True)
    check("get", cache.get("k"), {"a": "x" * 5000})
    check("set nx", [cache.set("k", 1, nx=True), cache.set("nx", 1, nx=True, timeout=5)], [False, True])
    check("set xx", [cache.set("k", 1, xx=True), cache.set("absent", 1, xx=True)], [True, False])
    check("add", [cache.add("k", 2), cache.add("added", 2)], [False, True])
    check("integers stay integers", cache.client.get_client().get(cache.make_key("added")), b"2")
    check("has_key", [cache.has_key("k"), cache.has_key("absent")], [True, False])
    check("delete", [cache.delete("k"), cache.delete("k")], [1, 0])
    check("incr_version", [cache.incr_version("added"), cache.get("added", version=2)], [2, 2])


def deadlines():
    cache.set("k", "v", timeout=60)
    check_within("ttl", cache.ttl("k"), 58, 60)
    check_within("pttl", cache.pttl("k"), 58_000, 60_000)
    check("persist", [cache.persist("k"), cache.ttl("k")], [True, None])
    check("expire", cache.expire("k", timeout=50), True)
    check_within("after expire", cache.ttl("k"), 48, 50)
    check("pexpire", cache.pexpire("k", timeout=40_000), True)
    check_within("after pexpire", cache.pttl("k"), 38_000, 40_000)
    import datetime

    when = datetime.datetime.now() + datetime.timedelta(hours=1)
    check("expire_at", cache.expire_at("k", when), True)
    check_within("after expire_at", cache.ttl("k"), 3590, 3600)
    check("touch", [cache.touch("k", 20), cache.touch("absent", 20)], [True, False])
    check_within("after touch", cache.ttl("k"), 18, 20)
    check("ttl of nothing", cache.ttl("absent"), 0)
    cache.set("short", 1, timeout=0.05)
    wait_until("it expires", lambda: cache.get("short") is None)


def many():
    cache.clear()
    cache.set_many({f"user:{i}": {"id": i} for i in range(300)}, timeout=60)
    cache.set_many({f"other:{i}": i for i in range(10)}, timeout=None)
    check_within("timeout of many", cache.ttl("user:299"), 58, 60)
    check("get_many", dict(cache.get_many(["user:5", "absent", "other:9"])), {"user:5": {"id": 5}, "other:9": 9})
    check("iter_keys", set(cache.iter_keys("user:*", itersize=20)), {f"user:{i}" for i in range(300)})
    check("keys", sorted(cache.keys("other:*")), sorted(f"other:{i}" for i in range(10)))
    check("delete_many", cache.delete_many(["other:0", "other:1", "absent"]), 2)
    check("delete_pattern", cache.delete_pattern("user:*", itersize=50), 300)
    check("what is left", sorted(cache.iter_keys("*")), sorted(f"other:{i}" for i in range(2, 10)))


def counters():
    cache.set("n", 40, timeout=100)
    check("incr", [cache.incr("n"), cache.incr("n", 5), cache.decr("n", 4)], [41, 46, 42])
    # Without EVAL the library would read and write, and lose counts of threads that do so at the same time.
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: cache.incr("n"), range(400)))
    check("incr from four threads", cache.get("n"), 442)
    check_within("incr keeps the timeout", cache.ttl("n"), 98, 100)


def locks():
    check("acquire", cache.lock("job", timeout=5).acquire(), True)
    check("held", cache.lock("job", blocking_timeout=0.1).acquire(), False)
    check_within("its timeout", cache.client.get_client().pttl(cache.make_key("job")), 4_000, 5_000)
    with cache.lock("task", timeout=5):
        check("held meanwhile", cache.lock("task", blocking_timeout=0.1).acquire(), False)
    check("released", cache.lock("task", timeout=5, blocking_timeout=0.1).acquire(), True)


def main():
    version(".".join(map(str, django_redis.VERSION)))
    values()
    deadlines()
    many()
    counters()
    locks()
    if WARM:
        restart()
        check("after the restart", [cache.get("other:5"), cache.ttl("other:5")], [5, None])
        check_within("its deadline", cache.ttl("n"), 60, 100)
    connection = django_redis.get_redis_connection("default")
    check("raw client", connection.ping(), True)
    cache.clear()
    check("clear", connection.dbsize(), 0)


main()
