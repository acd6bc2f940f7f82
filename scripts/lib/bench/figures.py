"""The arithmetic of the report: percentiles, medians over slices, ratios to the better peer. Nothing here measures."""

import csv
import math
import statistics


def percentile(ordered, share):
    """The nearest-rank percentile of a sorted sequence: the least value that `share` percent are at or below."""
    if not ordered:
        raise ValueError("no values")
    rank = math.ceil(len(ordered) * share / 100)
    return ordered[min(max(rank, 1), len(ordered)) - 1]


def summary(latencies_ns):
    """p50, p99, p99.9 and the maximum, in microseconds."""
    ordered = sorted(latencies_ns)
    return {
        "p50_us": percentile(ordered, 50) / 1000,
        "p99_us": percentile(ordered, 99) / 1000,
        "p999_us": percentile(ordered, 99.9) / 1000,
        "max_us": ordered[-1] / 1000,
    }


def parse_benchmark(text):
    """The one row of redis-benchmark's --csv: requests per second, p50 and p99 in milliseconds."""
    rows = [row for row in csv.reader(text.splitlines()) if row]
    header = next((row for row in rows if row[0] == "test"), None)
    rows = [row for row in rows if header and row is not header and len(row) == len(header)]
    if len(rows) != 1:
        raise ValueError("not one row of figures")
    row = dict(zip(header, rows[0]))
    return {
        "per_second": float(row["rps"]),
        "p50_ms": float(row["p50_latency_ms"]),
        "p99_ms": float(row["p99_latency_ms"]),
    }


def merge_slices(slices):
    """One cell of several slices: medians, but CPU time over all commands, since its clock ticks every 10 ms."""
    commands = sum(one["commands"] for one in slices)
    merged = {name: statistics.median(one[name] for one in slices) for name in ("per_second", "p50_ms", "p99_ms")}
    merged["commands"] = commands
    merged["cpu_us"] = sum(one["cpu_seconds"] for one in slices) * 1e6 / commands
    return merged


def merge_turns(turns):
    """One cell of several turns at a fixed rate: medians of the percentiles, the maximum of all, sums of counts."""
    merged = {name: statistics.median(one[name] for one in turns)
              for name in ("p50_us", "p99_us", "p999_us", "late_p999_us")}
    merged["max_us"] = max(one["max_us"] for one in turns)
    for name in ("commands", "overwrites", "overwrites_left_out"):
        merged[name] = sum(one[name] for one in turns)
    return merged


def better(cells, peers, figure, most=True):
    """The peer whose figure is the better one, None when no peer has it."""
    have = [peer for peer in peers if (cells.get(peer) or {}).get(figure) is not None]
    if not have:
        return None
    return (max if most else min)(have, key=lambda peer: cells[peer][figure])


def ratio(cells, ours, peers, figure, most=True):
    """Our figure divided by the better peer's; None if either is missing or the peer's is zero."""
    peer = better(cells, peers, figure, most)
    mine = (cells.get(ours) or {}).get(figure)
    if peer is None or mine is None or not cells[peer][figure]:
        return None
    return mine / cells[peer][figure]


def requests_for(per_second, seconds, pipeline, clients):
    """How many requests fill the time: a whole number of pipelines for each client."""
    step = pipeline * clients
    return max(round(per_second * seconds / step), 1) * step


def half_rate(rates, peers, test):
    """Half of the better peer's rate at pipeline 1 with the smallest values, whole; None without a peer."""
    cells = next((row["cells"] for row in rates if row["test"] == test and row["pipeline"] == 1), {})
    peer = better(cells, peers, "per_second")
    return None if peer is None else int(cells[peer]["per_second"] / 2)
