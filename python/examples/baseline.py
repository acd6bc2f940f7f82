"""Times put, get, exists and walks over all pairs, with small and larger values.

python3 baseline.py [--count 100000] [--engines blackhole,cmap] [--url redis://HOST:PORT]
"""

from common import opened, options, timed

failures = 0


def func(*_):
    global failures
    failures -= 1


def run(engine, count, value):
    global failures
    print(f"\nTesting {engine} for {count:,} keys, value size is {len(value)}...")
    with opened(engine, (64 << 20) + count * (len(value) + 1024)) as db:
        failures = 0
        with timed("Put (sequential series)", lambda: failures):
            for i in range(count):
                db.put(str(i), value)

        # blackhole keeps nothing, so all of its look-ups fail.
        failures = 0
        with timed("Get (sequential series)", lambda: failures):
            for i in range(count):
                try:
                    db.get(str(i))
                except KeyError:
                    failures += 1

        failures = 0
        with timed("Exists (sequential series)", lambda: failures):
            for i in range(count):
                if not db.exists(str(i)):
                    failures += 1

        failures = count
        with timed("All (one pass)", lambda: failures):
            db.get_keys(func)

        failures = count
        with timed("Each (one pass)", lambda: failures):
            db.get_all(func)


def main():
    chosen = options(__doc__, 1_000_000, "blackhole,cmap")
    for engine in [chosen.url] if chosen.url else chosen.engines.split(","):
        for value in ["A" * 16] if engine == "blackhole" else ["A" * 16, "A" * 200, "A" * 800]:
            run(engine, chosen.count, value)
    print("\nFinished!\n")


main()
