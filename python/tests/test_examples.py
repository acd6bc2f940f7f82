"""The examples run, in this process and on a server."""

import pathlib
import subprocess
import sys

import pytest

import pmemkv

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"


def run(name, *arguments):
    done = subprocess.run([sys.executable, EXAMPLES / name, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def url(server):
    with pmemkv.Client(server.url) as client:
        client._command("FLUSHALL")
    return server.url


def test_example():
    said = run("example.py")
    for line in [
        "visited: key3",
        "above key1: 2, from key2 on: 2",
        "between key1 and key3: key2 = value2",
        "no such key",
    ]:
        assert line in said


def test_the_same_example_on_a_server(url):
    assert run("example.py", url) == run("example.py")


def test_baseline():
    said = run("baseline.py", "--count", "300")
    # blackhole keeps nothing: its gets, looks and walks find nothing. The three runs of cmap find everything.
    assert said.count("failures=300") == 4 and said.count("failures=0") == 1 + 3 * 5


def test_iteration(url):
    said = run("iteration.py", "--count", "300", "--engines", "stree,vsmap")
    assert said.count("failures=0") == 2 * 5 and "failures=300" not in said
    assert run("iteration.py", "--count", "300", "--url", url).count("failures=0") == 5
