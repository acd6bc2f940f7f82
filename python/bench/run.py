"""Compares this package with PyPI's pmemkv 1.0 and with a C loop, in one run; see scripts/bench-python.

Each figure is the median of several rounds. In each round the three run one after another, each in a process of its own
on a fresh pool, so that what the machine does meanwhile meets all three.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent

PLANS = [("cmap", 64), ("cmap", 800), ("vcmap", 64), ("stree", 64), ("vsmap", 64), ("blackhole", 64)]

#: A row: its title, and the call of each side. pmemkv 1.0 has no get without a callback: get_string is its like.
ROWS = [
    ("put", "put", "put", "put"),
    ("put, existing key", "overwrite", "overwrite", "overwrite"),
    ("get (1.0: get_string)", "get", "get_string", "get"),
    ("get_string", "get_string", "get_string", "get"),
    ("get into a callback", "get, callback", "get, callback", "get"),
    ("exists", "exists", "exists", "exists"),
    ("get_all, values not looked at", "get_all", "get_all", "get_all"),
    ("get_all, values read", "get_all, read", "get_all, read", "get_all"),
    ("get_keys", "get_keys", "get_keys", "get_keys"),
    ("remove", "remove", "remove", "remove"),
]


def run(command, engine, count, value_bytes, memory):
    # On tmpfs an msync does nothing but take time; without it the bindings' own cost shows best.
    env = {**os.environ, "PMEM_IS_PMEM_FORCE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    env.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory(prefix="pmemkv-bench-", dir=memory) as folder:
        done = subprocess.run(
            [*command, engine, str(count), str(value_bytes), folder],
            env=env,
            check=True,
            capture_output=True,
            text=True,
        )
    return json.loads(done.stdout)


def machine():
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, load {os.getloadavg()[0]:.2f} at the start"


def table(medians, engine, value_bytes):
    lines = [
        f"## {engine}, values of {value_bytes} bytes",
        "",
        "| | C | pmemkv 1.0 | this package | ratio | over C: 1.0 | over C: this |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for title, ours, theirs, limit in ROWS:
        if ours not in medians["ours"]:
            continue
        our, their, least = medians["ours"][ours], medians["theirs"][theirs], medians["limit"][limit]
        lines.append(
            f"| {title} | {least:,.0f} ns | {their:,.0f} ns | {our:,.0f} ns | {their / our:.2f} "
            f"| {their - least:+,.0f} ns | {our - least:+,.0f} ns |"
        )
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", required=True, help="a Python that has this package")
    parser.add_argument("--theirs", required=True, help="a Python that has pmemkv 1.0")
    parser.add_argument("--limit", required=True, help="the program of limit.c")
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--page", type=pathlib.Path, help="the page to write")
    chosen = parser.parse_args()
    commands = {
        "limit": [chosen.limit],
        "theirs": [chosen.theirs, str(HERE / "measure.py")],
        "ours": [chosen.ours, str(HERE / "measure.py")],
    }
    memory = "/dev/shm"
    lines = [
        "# The Python package",
        "",
        "Made by `scripts/bench-python`. It compares the package with PyPI's pmemkv 1.0, built from its sdist against the",
        "same library, and with a C loop that makes the same calls and copies what a binding must copy: no binding can be",
        f"faster. Time per call of one thread with {chosen.count:,} pairs, keys of 16 bytes as `str`, medians of {chosen.rounds} rounds.",
        "In each round the three run in turn, each in a process of its own with a fresh pool in /dev/shm, and the median of",
        "pieces of 250 calls counts, since others use the machine. The ratio is 1.0's time to this package's: more than 1 is",
        "faster. The last two columns are what a binding adds to the library.",
        "",
        "The callbacks of get_all do nothing, or read the value by `memoryview(value).tobytes()`, which works with both. 1.0",
        "lends a view of the value without touching it; this package copies the value, so that nothing dangles after the call.",
        "So a callback that looks at no value is slower here, the more the larger the values are.",
        "",
    ]
    foot = f"Machine: {machine()}. Python {platform.python_version()}, PMEM_IS_PMEM_FORCE=1 for all three."
    for engine, value_bytes in PLANS:
        rounds = {side: [] for side in commands}
        for _ in range(chosen.rounds):
            for side, command in commands.items():
                rounds[side].append(run(command, engine, chosen.count, value_bytes, memory))
        medians = {
            side: {name: statistics.median(figures[name] for figures in all_rounds) for name in all_rounds[0]}
            for side, all_rounds in rounds.items()
        }
        part = table(medians, engine, value_bytes)
        print("\n".join(part), flush=True)
        lines += [*part, ""]
    lines.append(foot)
    if chosen.page:
        chosen.page.write_text("\n".join(lines) + "\n")


main()
