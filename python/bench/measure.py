"""Measures the package `pmemkv` of the interpreter that runs this: this one, or PyPI's 1.0. Prints JSON.

Other programs interrupt a measurement, so it is cut into short pieces, and the median of their times counts: an
interruption hits few pieces. limit.c does the same.

measure.py ENGINE COUNT VALUE_BYTES FOLDER
"""

import json
import os
import statistics
import sys
import time

import pmemkv

ENGINE, COUNT, VALUE_BYTES, FOLDER = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
POOL_BYTES = (64 << 20) + COUNT * (VALUE_BYTES + 1024)


def config():
    if ENGINE == "blackhole":
        return {}
    if ENGINE in ("vcmap", "vsmap"):
        return {"path": FOLDER, "size": POOL_BYTES}
    return {"path": os.path.join(FOLDER, "pool"), "size": POOL_BYTES, "force_create": 1}


# A piece is so many calls, and a walk over all pairs is made so many times.
PIECE_CALLS = 250
WALKS = 50


def main():
    db = pmemkv.Database(ENGINE, config())
    keys = [f"{number:016}" for number in range(COUNT)]
    pieces = [keys[start : start + PIECE_CALLS] for start in range(0, COUNT, PIECE_CALLS)]
    value = "A" * VALUE_BYTES
    figures = {}

    def timed(name, run):
        times = []
        for piece in pieces:
            start = time.perf_counter()
            run(piece)
            times.append((time.perf_counter() - start) / len(piece))
        figures[name] = statistics.median(times) * 1e9

    def timed_walk(name, run):
        times = []
        for _ in range(WALKS):
            start = time.perf_counter()
            run()
            times.append((time.perf_counter() - start) / COUNT)
        figures[name] = statistics.median(times) * 1e9

    def put(piece):
        for key in piece:
            db.put(key, value)

    def get_string(piece):
        for key in piece:
            db.get_string(key)

    def get_callback(piece):
        func = lambda value: None  # noqa: E731
        for key in piece:
            db.get(key, func)

    def get(piece):
        for key in piece:
            db.get(key)

    def exists(piece):
        for key in piece:
            db.exists(key)

    def remove(piece):
        for key in piece:
            db.remove(key)

    timed("put", put)
    timed("overwrite", put)
    if ENGINE != "blackhole":
        timed("get_string", get_string)
        timed("get, callback", get_callback)
        if hasattr(db, "count_equal_above"):
            timed("get", get)
    timed("exists", exists)
    if ENGINE != "blackhole":
        timed_walk("get_all", lambda: db.get_all(lambda key, value: None))
        # 1.0 lends a view, of which the callback makes what this package hands over.
        timed_walk("get_all, read", lambda: db.get_all(lambda key, value: memoryview(value).tobytes()))
        timed_walk("get_keys", lambda: db.get_keys(lambda key: None))
    timed("remove", remove)
    db.stop()
    print(json.dumps(figures))


main()
