"""Measures the package `pmemkv` of the interpreter that runs this: this one, or PyPI's 1.0. Prints JSON.

measure.py ENGINE COUNT VALUE_BYTES FOLDER
"""

import json
import os
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


def timed(name, figures, run):
    start = time.perf_counter()
    run()
    figures[name] = (time.perf_counter() - start) / COUNT * 1e9


def main():
    db = pmemkv.Database(ENGINE, config())
    # As the examples of pmemkv-tools: keys are made in the loop.
    keys = [f"{number:016}" for number in range(COUNT)]
    value = "A" * VALUE_BYTES
    figures = {}

    def put():
        for key in keys:
            db.put(key, value)

    def get_string():
        for key in keys:
            db.get_string(key)

    def get_callback():
        func = lambda value: None  # noqa: E731
        for key in keys:
            db.get(key, func)

    def get():
        for key in keys:
            db.get(key)

    def exists():
        for key in keys:
            db.exists(key)

    def get_all():
        db.get_all(lambda key, value: None)

    def get_keys():
        db.get_keys(lambda key: None)

    def remove():
        for key in keys:
            db.remove(key)

    timed("put", figures, put)
    timed("overwrite", figures, put)
    if ENGINE != "blackhole":
        timed("get_string", figures, get_string)
        timed("get, callback", figures, get_callback)
        if hasattr(db, "count_equal_above"):
            timed("get", figures, get)
    timed("exists", figures, exists)
    if ENGINE != "blackhole":
        timed("get_all", figures, get_all)
        timed("get_keys", figures, get_keys)
    timed("remove", figures, remove)
    db.stop()
    print(json.dumps(figures))


main()
