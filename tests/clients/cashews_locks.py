"""cashews: its locks and rate limits are Lua scripts, and fail open without them."""

import asyncio
import importlib.metadata

from cashews import LockedError, RateLimitError, cache

from common import URL, WARM, check, restart, version


async def main():
    version(importlib.metadata.version("cashews"))
    cache.setup(URL, client_side=False)
    await cache.init()
    await cache.clear()
    await cache.set("k", {"a": 1}, expire=60)
    check("get", await cache.get("k"), {"a": 1})
    check("incr", [await cache.incr("n"), await cache.incr("n", 4)], [1, 5])
    check("incr with a deadline", [await cache.incr("m", expire=60), 50 < await cache.get_expire("m") <= 60], [1, True])

    check("lock", await cache.set_lock("job", "mine", expire=10), True)
    check("lock of another", await cache.set_lock("job", "other", expire=10), False)
    check("release by another", bool(await cache.unlock("job", "other")), False)
    check("it is locked", await cache.is_locked("job"), True)
    check("release", bool(await cache.unlock("job", "mine")), True)
    check("it is free", await cache.is_locked("job"), False)
    inside = []

    @cache.locked(ttl=5)
    async def alone():
        inside.append(1)
        check("alone", len(inside), 1)
        await asyncio.sleep(0.02)
        inside.pop()

    await asyncio.gather(*(alone() for _ in range(5)))

    @cache.rate_limit(limit=3, period=60)
    async def limited():
        return True

    @cache.slice_rate_limit(limit=3, period=60)
    async def sliced():
        return True

    for function in (limited, sliced):
        passed = []
        for _ in range(5):
            try:
                passed.append(await function())
            except RateLimitError:
                passed.append(False)
        check(function.__name__, passed, [True] * 3 + [False] * 2)
    if WARM:
        restart()
        # The first command meets the closed connection, and the library takes that for a miss.
        found = [await cache.get("n") for _ in range(2)]
        check("after the restart", found[-1], 5)
    await cache.close()


asyncio.run(main())
