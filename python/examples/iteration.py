"""Times the ways to walk over all pairs.

python3 iteration.py [--count 100000] [--engines vsmap] [--url redis://HOST:PORT]
"""

from common import opened, options, timed

left = 0


def func(*_):
    global left
    left -= 1


def run(engine, count, value):
    global left
    print(f"\nTesting {engine} for {count:,} keys, value size is {len(value)}...")
    with opened(engine, (64 << 20) + count * (len(value) + 1024)) as db:
        with timed("Put (sequential series)", lambda: 0):
            for i in range(count):
                db.put(str(i), value)
        for what, walk in [
            ("All strings", db.get_keys_strings),
            ("All", db.get_keys),
            ("Each string", db.get_all_string),
            ("Each", db.get_all),
        ]:
            left = count
            with timed(f"{what} (one pass)", lambda: left):
                walk(func)


def main():
    chosen = options(__doc__, 1_000_000, "stree")
    for engine in [chosen.url] if chosen.url else chosen.engines.split(","):
        run(engine, chosen.count, "A" * 64)
    print("\nFinished!\n")


main()
