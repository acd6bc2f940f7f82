"""The tables of the part for replication, in markdown."""

from .replication import GETS_PER_SECOND, KEYSPACE, OVERWRITES_PER_SECOND, PIPELINE
from .report import number, rate_cell, size_name, table

# The project's goals, as ratios to the peer or as they are.
COPY_GOAL = 1.0
COPY_P999_GOAL = 0.5
COPY_MEMORY_GOAL = 0.1
KEPT_GOAL = 0.75
LOAD_GOAL = 1.0
PAUSE_GOAL_US = 2_000
LINKED_GOAL_SECONDS = 1.0
MIB = 1 << 20


def tables(result, ours):
    """All of them, with what they say."""
    keys, size = result["keys"], size_name(result["value_bytes"])
    return "\n\n".join([
        f"### A full copy of {keys:,} keys of {size}", copy_table(result["copies"], ours),
        f"Seconds from REPLICAOF at an empty replica until it is linked and has everything; CPU time of the master with "
        f"its children. Meanwhile another client's {GETS_PER_SECOND:,} GETs a second, each timed from when it was due. "
        f"Ratios are to the master of the replica's own kind in the same run.",
        "### The same while clients overwrite", busy_copy_table(result["copies"], ours),
        f"{OVERWRITES_PER_SECOND:,} SETs a second beside. What the master's anonymous memory and that of its children "
        f"grew at the peak: as each process sees it (RSS), and what was really there (PSS: pages that a fork shares "
        f"count once). Its share is of what a master of the replica's kind took before the copy.",
        "### A master with one replica", write_table(result["writes"], ours),
        f"redis-benchmark, SET, pipeline {PIPELINE}, 50 clients, {KEYSPACE:,} keys: requests per second, CPU of the master "
        f"per request, p50 / p99. Kept is the rate with a replica to that without. Behind is the replica when the last "
        f"SET was answered, at its worst. Here the clients, the master and the replica share the cores.",
        f"### RDB files of {keys:,} keys", file_table(result["files"], ours),
        f"Loading: from the start until all keys are there, by `import` in pmemkv-server. BGSAVE: beside another client's "
        f"{GETS_PER_SECOND:,} GETs a second, then with {OVERWRITES_PER_SECOND:,} SETs a second too. The longest pause is "
        f"the longest answer to a GET, which the machine's other work makes longer: the column before shows it without "
        f"a BGSAVE.",
        f"### kill -9 of a master with a replica, {keys:,} keys", restart_table(result["restarts"], ours),
        "Seconds since the kill, while a client writes. A replica looks for its lost master about once a second. The "
        "peers load an RDB file that was saved before the load, and lose what came later.",
    ])


def peers_of(row, ours):
    """The other cell's title, None if there is none."""
    return next((title for title in row["cells"] if title != ours), None)


def share(mine, other):
    """Their ratio, if there is one."""
    return None if mine is None or not other else mine / other


def copy_table(rows, ours):
    """A row for each pair."""
    lines = []
    for row in rows:
        peer = row["cells"].get(peers_of(row, ours))
        for title, cell in row["cells"].items():
            compares = title == ours and peer
            quiet = cell["quiet"]
            lines.append([
                f"{title} to {row['replica']}", number(cell["seconds"]), number(cell["cpu_seconds"]),
                *(number(quiet[name], 0) for name in ("p50_us", "p99_us", "p999_us", "max_us")),
                number(share(cell["seconds"], peer["seconds"]) if compares else None),
                number(COPY_GOAL) if compares else "",
                number(share(quiet["p999_us"], peer["quiet"]["p999_us"]) if compares else None),
                number(COPY_P999_GOAL) if compares else ""])
    return table(["master to replica", "s", "CPU s", "p50 us", "p99", "p99.9", "max", "ratio of s", "goal at most",
                  "ratio of p99.9", "goal at most"], lines)


def busy_copy_table(rows, ours):
    """A row for each pair."""
    lines = []
    for row in rows:
        peer = row["cells"].get(peers_of(row, ours))
        for title, cell in row["cells"].items():
            data = peer["before_bytes"] if peer else None
            busy = cell["busy"]
            lines.append([
                f"{title} to {row['replica']}", number(cell["busy_seconds"]), number(busy["p99_us"], 0),
                number(busy["p999_us"], 0), number(cell["rss_bytes"] / MIB, 0), number(cell["own_bytes"] / MIB, 0),
                number(share(cell["own_bytes"], data)), number(COPY_MEMORY_GOAL) if title == ours and peer else ""])
    return table(["master to replica", "s", "p99 us", "p99.9", "RSS, MiB", "PSS, MiB", "of the data", "goal at most"],
                 lines)


def write_table(cells, ours):
    """A row for each master."""
    lines = []
    for title, cell in cells.items():
        alone, followed = cell["alone"], cell["followed"]
        lines.append([
            title, rate_cell(alone), rate_cell(followed), number(followed["replica_cpu_us"], 2, " us"),
            number(share(followed["per_second"], alone["per_second"])), number(KEPT_GOAL) if title == ours else "",
            number(share(followed["cpu_us"], alone["cpu_us"])),
            number(followed["behind_bytes"] / MIB, 2, " MiB"), number(followed["behind_seconds"], 3, " s"),
            str(followed["more_copies"])])
    return table(["", "alone", "with a replica", "CPU of the replica", "kept", "goal", "CPU ratio", "behind", "for",
                  "more copies"], lines)


def file_table(cells, ours):
    """A row for each server."""
    lines = []
    least = min((cell["load_seconds"] for title, cell in cells.items() if title != ours), default=None)
    for title, cell in cells.items():
        mine = title == ours
        lines.append([
            title, number(cell["file_bytes"] / MIB, 0), number(cell["load_seconds"]), number(cell["load_cpu_seconds"]),
            number(share(cell["load_seconds"], least) if mine else None), number(LOAD_GOAL) if mine else "",
            number(cell["saving"]["seconds"]), number(cell["quiet"]["max_us"] / 1000, 1),
            number(cell["saving"]["p999_us"] / 1000, 1), number(cell["saving"]["max_us"] / 1000, 1),
            number(cell["busy"]["max_us"] / 1000, 1), number(PAUSE_GOAL_US / 1000, 1) if mine else ""])
    return table(["", "file, MiB", "load, s", "CPU s", "ratio", "goal at most", "BGSAVE, s", "max without, ms", "p99.9 with, ms",
                  "max with, ms", "with SETs too, ms", "goal at most"], lines)


def restart_table(cells, ours):
    """A row for each master."""
    return table(["", "serves", "replica linked", "at most", "goal at most", "full copies", "goal"], [
        [title, number(cell["serves"], 3), number(cell["linked"], 3), number(cell["longest"], 3),
         number(LINKED_GOAL_SECONDS) if title == ours else "", f"{cell['copies']} of {cell['kills']}",
         "0" if title == ours else ""] for title, cell in cells.items()])
