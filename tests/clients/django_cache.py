"""Django's own cache backend (django.core.cache.backends.redis.RedisCache), and sessions in it."""

import time

import django
from django.conf import settings

from common import URL, WARM, check, check_raises, check_within, restart, version, wait_until

settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": URL,
            "KEY_PREFIX": "site",
            "TIMEOUT": 300,
        }
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    USE_TZ=True,
)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import cache  # noqa: E402


def raw():
    """The client below: deadlines cannot be asked of the cache."""
    return cache._cache.get_client()


def values():
    cache.clear()
    check("get of nothing", cache.get("absent", "default"), "default")
    check("set", cache.set("k", {"a": [1, 2.5, None, "ü"]}), None)
    check("get", cache.get("k"), {"a": [1, 2.5, None, "ü"]})
    check_within("the default timeout", raw().ttl("site:1:k"), 298, 300)
    check("add to what is there", cache.add("k", 1), False)
    check("add", cache.add("new", 1, timeout=50), True)
    check("add that is gone at once", cache.add("gone", 1, timeout=0), True)
    check("gone", cache.get("gone"), None)
    check("has_key", ["k" in cache, "gone" in cache], [True, False])
    check("get_or_set", [cache.get_or_set("made", lambda: 5), cache.get("made")], [5, 5])
    check("version", [cache.set("k", 2, version=2), cache.get("k", version=2), cache.get("k")["a"][0]], [None, 2, 1])
    check("incr_version", [cache.incr_version("new"), cache.get("new", version=2)], [2, 1])
    check("delete", [cache.delete("k"), cache.delete("k")], [True, False])
    check("timeout of 0", [cache.set("z", 1, timeout=0), cache.get("z")], [None, None])


def many():
    cache.clear()
    check("set_many", cache.set_many({f"m{i}": i for i in range(100)} | {"text": "t"}, timeout=60), [])
    for key in ("m0", "m99", "text"):
        check_within(f"timeout of {key}", raw().ttl(f"site:1:{key}"), 58, 60)
    check("get_many", cache.get_many(["m1", "absent", "text"]), {"m1": 1, "text": "t"})
    cache.set_many({"for ever": 1}, timeout=None)
    check("no timeout", raw().ttl("site:1:for ever"), -1)
    check("delete_many", cache.delete_many([f"m{i}" for i in range(99)]), None)
    check("what is left", [cache.get("m98"), cache.get("m99")], [None, 99])


def counters():
    cache.set("n", 40, timeout=100)
    check("incr", [cache.incr("n"), cache.incr("n", 5), cache.decr("n", 4)], [41, 46, 42])
    check_within("incr keeps the timeout", raw().ttl("site:1:n"), 98, 100)
    check_raises("incr of nothing", ValueError, lambda: cache.incr("absent"))


def deadlines():
    cache.set("t", 1, timeout=1)
    check("touch", cache.touch("t", 100), True)
    check_within("after touch", raw().ttl("site:1:t"), 98, 100)
    check("touch for ever", [cache.touch("t", None), raw().ttl("site:1:t")], [True, -1])
    check("touch of nothing", cache.touch("absent", 10), False)
    cache.set("short", 1, timeout=1)
    check("not yet", cache.get("short"), 1)
    wait_until("it expires", lambda: cache.get("short") is None)


def sessions():
    session = SessionStore()
    session["user"] = 7
    session.set_expiry(1000)
    session.save()
    check("session", SessionStore(session.session_key)["user"], 7)
    session.cycle_key()
    short = SessionStore()
    short["user"] = 8
    short.set_expiry(1)
    short.save()
    check("short session", short.exists(short.session_key), True)
    time.sleep(1.1)
    check("expired session", SessionStore(short.session_key).load(), {})
    return session.session_key


def main():
    version(django.get_version())
    values()
    many()
    counters()
    deadlines()
    key = sessions()
    if WARM:
        restart()
        check("session after the restart", SessionStore(key)["user"], 7)
        check_within("its deadline", raw().ttl(f"site:1:django.contrib.sessions.cache{key}"), 900, 1000)
        check("incr after the restart", cache.incr("n"), 43)
    session = SessionStore(key)
    session.flush()
    check("flushed session", SessionStore(key).load(), {})
    cache.clear()
    check("clear", [cache.get("n"), raw().dbsize()], [None, 0])


main()
