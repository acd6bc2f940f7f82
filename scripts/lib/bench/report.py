"""The tables that a run prints, in markdown."""

import sys

from .figures import better, ratio

# The project's goals for the ratio of requests per second to the better peer, by test and pipeline.
GOALS = {
    "GET": {1: 1.0, 16: 1.2, 64: 1.5},
    "SET": {1: 1.0, 16: 1.15, 64: 1.5},
    "SET EX": {1: 1.0, 16: 1.05, 64: 1.3},
    "INCR": {1: 1.0, 16: 1.05, 64: 1.3},
    "MGET of 10": {1: 1.0, 16: 1.1, 64: 1.2},
    "MSET of 10": {1: 1.0, 16: 1.1, 64: 1.2},
    "SET, AOF always": {1: 1.2, 16: 1.8, 64: 2.2},
}
NONE = "-"


def say(text):
    """Progress, apart from the tables."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def size_name(size):
    """64 B, 1 KiB, 1 MiB."""
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} B"


def number(value, digits=2, unit=""):
    """A figure that may be missing."""
    return NONE if value is None else f"{value:,.{digits}f}{unit}"


def table(header, rows):
    """A markdown table; all columns but the first are numbers."""
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def rate_cell(cell):
    """Rate, server CPU per command, p50 and p99."""
    if cell is None:
        return NONE
    return f"{cell['per_second']:,.0f}/s, {cell['cpu_us']:.2f} us, {cell['p50_ms']:.2f} / {cell['p99_ms']:.2f} ms"


def rate_tables(rows, ours):
    """One table per value size, and the AOF rows in a table of their own since other peers stand there."""
    parts = []
    groups = {}
    for row in rows:
        groups.setdefault((row["test"] == "SET, AOF always", row["value_bytes"]), []).append(row)
    for (aof, value_bytes), group in sorted(groups.items()):
        titles = [title for title in group[0]["cells"] if title != ours]
        lines = []
        for row in group:
            cells = row["cells"]
            lines.append([
                f"{row['test'].removesuffix(', AOF always')}, pipeline {row['pipeline']}",
                *(rate_cell(cells.get(title)) for title in [*titles, ours]),
                number(ratio(cells, ours, titles, "per_second")),
                number(GOALS.get(row["test"], {}).get(row["pipeline"])),
                number(ratio(cells, ours, titles, "cpu_us", most=False)),
            ])
        about = ", against an AOF synced at every write" if aof else ""
        parts.append(f"### {size_name(value_bytes)} values{about}\n\n" + table(
            ["", *titles, ours, "ratio", "goal", "CPU ratio"], lines))
    return "\n\n".join(parts)


def summary_table(rows, ours):
    """The ratios alone, as the goals are written: a row for each test and value size, a column for each pipeline."""
    pipelines = sorted({row["pipeline"] for row in rows})
    lines = {}
    for row in rows:
        titles = [title for title in row["cells"] if title != ours]
        have = ratio(row["cells"], ours, titles, "per_second")
        goal = GOALS.get(row["test"], {}).get(row["pipeline"])
        text = number(have) + ("" if goal is None else f" of {goal:.2f}")
        if have is not None and goal is not None and have >= goal:
            text = f"**{text}**"
        lines.setdefault((row["test"], row["value_bytes"]), {})[row["pipeline"]] = text
    return table(["ratio of goal", *(f"pipeline {pipeline}" for pipeline in pipelines)], [
        [f"{test}, {size_name(value_bytes)}", *(found.get(pipeline, NONE) for pipeline in pipelines)]
        for (test, value_bytes), found in lines.items()
    ])


def latency_table(rows, ours):
    """Percentiles from the due times; the last column is ours over the better peer at p99.9."""
    lines = []
    for row in rows:
        peers = [title for title in row["cells"] if title != ours]
        share = ratio(row["cells"], ours, peers, "p999_us", most=False)
        for title, cell in row["cells"].items():
            did = row.get("did", {}).get(title)
            lines.append([
                f"{row['test']} at {row['per_second']:,}/s, {title}" + (f" ({did})" if did else ""),
                *(number(cell[name], 0) for name in ("p50_us", "p99_us", "p999_us", "max_us", "late_p999_us")),
                number(share) if title == ours else "",
            ])
    return table(["us", "p50", "p99", "p99.9", "max", "sent late, p99.9", "p99.9 ratio"], lines)


def lifecycle_tables(rows, ours):
    """Restart and space, a table of each for every number of keys."""
    parts = []
    for row in rows:
        cells = row["cells"]
        rdb = [title for title in cells if title != ours and "AOF" not in title]
        aof = [title for title in cells if title != ours and "AOF" in title]
        lines = []
        for title, cell in cells.items():
            to_rdb = ratio({title: cell, **{peer: cells[peer] for peer in rdb}}, title, rdb, "all_keys_seconds", False)
            to_aof = ratio({title: cell, **{peer: cells[peer] for peer in aof}}, title, aof, "all_keys_seconds", False)
            lines.append([title, number(cell.get("kill_seconds"), 3), number(cell.get("first_get_seconds"), 3),
                          number(cell.get("all_keys_seconds"), 3), number(to_rdb, 3), number(to_aof, 3)])
        parts.append(f"### kill -9 and restart, {row['keys']:,} keys\n\n" + table(
            ["s since the kill", "its end", "first GET", "all keys", "to RDB load", "to AOF replay"], lines))
        lines = []
        base = [title for title in cells if "used_memory" in cells[title]["bytes_per_key"] and title in rdb]
        least = min((cells[title]["bytes_per_key"]["used_memory"] for title in base), default=None)
        for title, cell in cells.items():
            grown = cell["bytes_per_key"]
            total = per_key_total(grown)
            lines.append([
                title, number(grown.get("allocated_bytes"), 1), number(grown.get("index_bytes"), 1),
                number(grown["dram_bytes"], 1), number(grown.get("used_memory"), 1),
                number(total / least) if least and total is not None else NONE,
                number(cell["flushall_ms"], 1), number(cell["dbsize_ms"], 3),
                f"{cell['fill_per_second']:,.0f}/s, {cell['fill_cpu_us']:.2f} us",
            ])
        size = size_name(row["value_bytes"])
        parts.append(f"### Space and whole-database commands, {row['keys']:,} keys of {size}\n\n" + table(
            ["bytes per key", "pool in use", "index", "DRAM", "used_memory", "ratio", "FLUSHALL ms", "DBSIZE ms",
             "filling"], lines))
    return "\n\n".join(parts)


def per_key_total(grown):
    """What the ratio compares: used_memory, or the pool's bytes and all DRAM beside them."""
    if "used_memory" in grown:
        return grown["used_memory"]
    if "allocated_bytes" in grown:
        return grown["allocated_bytes"] + grown["dram_bytes"]
    return None


def best_peer(row, ours):
    """The peer that the row's ratio compares with."""
    return better(row["cells"], [title for title in row["cells"] if title != ours], "per_second")
