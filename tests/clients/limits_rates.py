"""limits, which flask-limiter and slowapi use: each of its strategies is a Lua script."""

import concurrent.futures
import time

import limits
import redis
from limits import storage, strategies

from common import HOST, PORT, URL, WARM, check, check_within, restart, version

FIVE = limits.parse("5/minute")


def run(strategy, name):
    check(f"{name}: five pass", [strategy.hit(FIVE, name) for _ in range(7)], [True] * 5 + [False] * 2)
    check(f"{name}: none left", strategy.get_window_stats(FIVE, name).remaining, 0)
    check(f"{name}: test", [strategy.test(FIVE, name), strategy.test(FIVE, "other")], [False, True])
    check(f"{name}: cost", [strategy.hit(FIVE, name, "cost", cost=4), strategy.hit(FIVE, name, "cost", cost=4)], [True, False])
    check(f"{name}: of many threads, five pass", sum(hit_from_threads(strategy, name)), 5)
    short = limits.parse("2/second")
    check(f"{name}: short window", [strategy.hit(short, name) for _ in range(3)], [True, True, False])
    time.sleep(2.1)
    check(f"{name}: it is over", strategy.hit(short, name), True)


def hit_from_threads(strategy, name):
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        return list(threads.map(lambda _: strategy.hit(FIVE, name, "threads"), range(40)))


def main():
    version(limits.__version__)
    store = storage.storage_from_string(URL)
    check("check", store.check(), True)
    kinds = [
        strategies.FixedWindowRateLimiter,
        strategies.MovingWindowRateLimiter,
        strategies.SlidingWindowCounterRateLimiter,
    ]
    # Side by side, since each of them waits for a window to end.
    with concurrent.futures.ThreadPoolExecutor(len(kinds)) as threads:
        list(threads.map(lambda kind: run(kind(store), kind.__name__), kinds))
    check("storage", [store.incr("n", 60), store.incr("n", 60, amount=4), store.get("n")], [1, 5, 5])
    check_within("its expiry", store.get_expiry("n") - time.time(), 57, 61)
    if WARM:
        restart()
        check("after the restart", strategies.MovingWindowRateLimiter(store).test(FIVE, "MovingWindowRateLimiter"), False)
        # The scripts are gone from the server's cache: EVALSHA fails, and the library sends them again.
        check("the scripts come back", strategies.FixedWindowRateLimiter(store).hit(FIVE, "new"), True)
    check("reset", store.reset() > 0, True)
    check("nothing is left", redis.Redis(host=HOST, port=PORT).keys("LIMITS*"), [])


main()
