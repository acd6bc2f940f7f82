"""What a server and its children take of memory while something goes on."""

import os
import threading

# How often to look. Looking takes some milliseconds of the server's memory lock.
PERIOD_SECONDS = 0.1


def children(pid):
    """The process and its children, which may end while one looks."""
    pids = [pid]
    for thread in listed(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                pids += [int(child) for child in file.read().split()]
        except OSError:
            continue
    return pids


def listed(folder):
    """The folder's names; none if it is gone."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def anonymous_bytes(pid):
    """The process's anonymous memory: as it sees it, and its share in what it has in common with its parent."""
    sizes = {"Anonymous:": 0, "Pss_Anon:": 0}
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                words = line.split()
                if words[0] in sizes:
                    sizes[words[0]] = int(words[1]) * 1024
    except OSError:
        # It has ended.
        pass
    return sizes["Anonymous:"], sizes["Pss_Anon:"]


class Sampler:
    """Looks at a server's memory until the block ends."""

    def __init__(self, server):
        self.pid = server.process.pid
        self.before = self.look()
        self.highest = self.before
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def look(self):
        """All processes together: what each one sees, and what is really there."""
        sizes = [anonymous_bytes(pid) for pid in children(self.pid)]
        return sum(seen for seen, _ in sizes), sum(own for _, own in sizes)

    def run(self):
        """Keeps the highest."""
        while not self.ended.wait(PERIOD_SECONDS):
            seen, own = self.look()
            self.highest = max(self.highest[0], seen), max(self.highest[1], own)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(timeout=60)

    def extra(self):
        """What came on top at the peak."""
        return {"before_bytes": self.before[1], "rss_bytes": self.highest[0] - self.before[0],
                "own_bytes": self.highest[1] - self.before[1]}
