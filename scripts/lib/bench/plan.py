"""How much a run does."""

import dataclasses

MIB = 1 << 20
GIB = 1 << 30


@dataclasses.dataclass
class Plan:
    """The sizes of a run; `make_plan` makes the two plans."""

    # Value sizes; everything except the rates uses the first one.
    sizes: tuple
    # Keys in the servers before the rates are measured.
    keyspace: int
    # Keys in the servers while io-threads are tried; 0 leaves them at 1.
    probe_keys: int
    # How long each server is measured in a cell, and in how many turns.
    cell_seconds: float
    slices: int
    latency_seconds: float
    # The pool that is filled and overwritten, and how many times its keys are overwritten before the measurement.
    small_pool_bytes: int
    overwrite_share: float
    restart_keys: tuple
    restarts: int
    pool_bytes: int
    parts: tuple = ("rates", "latency", "collections", "strings", "streams", "scripting", "space", "restart",
                    "lifecycle")


# Those of a run that does not say which, and those that run when they are asked for.
PARTS = (*Plan.__dataclass_fields__["parts"].default, "counts", "durability", "replication")


def make_plan(quick, full, only=()):
    """The plan of a quick run, or of a whole one (`full`: with 10 million keys); `only` some of its parts."""
    if quick:
        plan = Plan(sizes=(64,), keyspace=100_000, probe_keys=0, cell_seconds=0.15, slices=1, latency_seconds=1.0,
                    small_pool_bytes=64 * MIB, overwrite_share=0.5, restart_keys=(200_000,), restarts=1,
                    pool_bytes=GIB)
    else:
        plan = Plan(sizes=(64, 1024), keyspace=1_000_000, probe_keys=200_000, cell_seconds=1.5, slices=3,
                    latency_seconds=5.0, small_pool_bytes=256 * MIB, overwrite_share=1.5,
                    restart_keys=(3_000_000, 10_000_000) if full else (3_000_000,), restarts=1, pool_bytes=4 * GIB)
    if only:
        plan.parts = tuple(part for part in PARTS if part in only)
    return plan
