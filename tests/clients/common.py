"""What the Python clients share: where the server is, how it is restarted, how an answer is checked."""

import os
import sys
import time

HOST = "127.0.0.1"
PORT = int(os.environ["SERVER_PORT"])
URL = f"redis://{HOST}:{PORT}/0"
# Whether the server keeps its data when it is killed.
WARM = os.environ["SERVER_WARM"] == "1"
# For whatever files a client makes.
FOLDER = os.environ["CLIENT_FOLDER"]
# The ports of the Sentinels that watch the server, for clients of theirs, and the name that they know it by.
SENTINELS = [int(port) for port in os.environ.get("SENTINEL_PORTS", "").split(",") if port]
NAME = "mymaster"


def version(text):
    """Names the client's version in the list of results."""
    print(f"version {text}", flush=True)


def restart():
    """Has the server killed by signal 9 and started again on the same port and data; returns when it serves."""
    print("restart", flush=True)
    if sys.stdin.readline() != "restarted\n":
        sys.exit("the server was not restarted")


def kill_master():
    """Has the server killed by signal 9 for good, so that the Sentinels replace it."""
    print("kill", flush=True)
    if sys.stdin.readline() != "killed\n":
        sys.exit("the server was not killed")


def check(what, found, wanted):
    """Ends the client at the first wrong answer."""
    if found != wanted:
        raise SystemExit(f"{what}: {found!r}, not {wanted!r}")


def check_within(what, found, least, most):
    if not least <= found <= most:
        raise SystemExit(f"{what}: {found!r}, not {least} to {most}")


def check_raises(what, kind, call):
    """Returns the error's text."""
    try:
        found = call()
    except kind as error:
        return str(error)
    raise SystemExit(f"{what}: {found!r}, not an error")


def wait_until(what, condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {seconds} s")
        time.sleep(0.02)
