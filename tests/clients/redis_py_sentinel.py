"""redis-py's Sentinel client: it finds the master and its replica, and goes on at the replica that takes over."""

import redis
from redis.sentinel import Sentinel

from common import HOST, NAME, PORT, SENTINELS, check, kill_master, version, wait_until

version(redis.__version__)
sentinel = Sentinel([(HOST, port) for port in SENTINELS], socket_timeout=2)
wait_until("the replica is known", lambda: len(sentinel.discover_slaves(NAME)) == 1, 30)
check("master", sentinel.discover_master(NAME), (HOST, PORT))

master = sentinel.master_for(NAME, socket_timeout=2)
replica = sentinel.slave_for(NAME, socket_timeout=2)
check("set", master.set("k", "v"), True)
check("incr", master.incr("n"), 1)
check("wait", master.wait(1, 5000), 1)
check("get of the replica", replica.get("k"), b"v")
kill_master()


def writes():
    try:
        return master.set("k", "w")
    except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError):
        # Nobody is the master, or the replica is none yet.
        return False


wait_until("another master takes writes", writes, 30)
check("incr there", master.incr("n"), 2)
check("another master", sentinel.discover_master(NAME) != (HOST, PORT), True)
