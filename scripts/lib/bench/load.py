"""The two load generators: redis-benchmark, and our own for filling and for fixed rates."""

import array
import subprocess
import time

from .client import BenchError
from .figures import parse_benchmark, requests_for, summary

CLIENTS = 50
SECONDS_MAX = 300
EXPIRY_SECONDS = 100_000
# Of a load beside something else.
VALUE_BYTES = 64
BESIDE_CLIENTS = 10
KEY = "key:__rand_int__"


def command_of(test, value_bytes):
    """redis-benchmark's arguments for a test: one of its own tests, or a given command."""
    own = {"GET": "get", "SET": "set", "INCR": "incr", "MSET of 10": "mset"}
    if test in own:
        return ["-d", str(value_bytes), "-t", own[test]]
    if test == "SET EX":
        return ["SET", KEY, "x" * value_bytes, "EX", str(EXPIRY_SECONDS)]
    if test == "MGET of 10":
        return ["MGET", *[KEY] * 10]
    raise ValueError(f"no test {test}")


def check_tools(generator):
    """Checks that both programs exist before anything starts."""
    for program in ("redis-benchmark", generator):
        try:
            subprocess.run([program, "--help"], capture_output=True, timeout=20, check=False)
        except OSError as error:
            raise BenchError(f"{program}: {error.strerror}") from error


def benchmark(server, test, pipeline, keyspace, requests, value_bytes, clients=CLIENTS):
    """One run of redis-benchmark: rate, latencies, the commands and the server's CPU seconds for them."""
    reads = test in ("GET", "MGET of 10")
    misses = server.info("stats")["keyspace_misses"] if reads else None
    cpu = server.cpu_seconds()
    # Its own tests come after all options, and a spelt-out command must.
    argv = ["redis-benchmark", "-p", str(server.port), "-P", str(pipeline), "-c", str(clients),
            "-r", str(keyspace), "-n", str(requests), "--csv", *command_of(test, value_bytes)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    cpu = server.cpu_seconds() - cpu
    where = f"{server.title}: redis-benchmark, {test}, pipeline {pipeline}"
    if done.returncode or "rror" in done.stdout + done.stderr:
        raise BenchError(f"{where}: {(done.stderr.strip() or done.stdout.strip())[:300]}")
    try:
        figures = parse_benchmark(done.stdout)
    except (ValueError, KeyError) as error:
        raise BenchError(f"{where}: {error}: {done.stdout[:300]}") from error
    if reads and server.info("stats")["keyspace_misses"] != misses:
        raise BenchError(f"{where}: a key was not found")
    return {**figures, "commands": requests, "cpu_seconds": cpu}


def first_guess(pipeline, clients, test, value_bytes):
    """The number of requests of a first, short run, which decides the number of the next runs."""
    per_request = (10 if test.endswith("of 10") else 1) * (1 + value_bytes / 2048)
    guess = requests_for(40_000 * min(pipeline, 16) / per_request ** 0.5, 0.06, pipeline, clients)
    # Otherwise connecting would take most of the time with many clients.
    return max(guess, 10 * clients if clients > CLIENTS else 0)


class Generator:
    """Our own load program."""

    def __init__(self, program):
        self.program = program

    def run(self, server, what, *arguments):
        """Its output; an error message becomes a BenchError."""
        done = subprocess.run([self.program, what, "--port", str(server.port), *map(str, arguments)],
                              capture_output=True, timeout=SECONDS_MAX, check=False)
        if done.returncode:
            text = done.stderr.decode(errors="replace").strip()
            raise BenchError(f"{server.title}: load {what}: {text[:300]}")
        return done.stdout

    def fill(self, server, first, last, value_bytes):
        """SETs the keys of the range to values of their own."""
        self.run(server, "fill", "--from", first, "--up-to", last, "--value-bytes", value_bytes)

    def fill_counters(self, server, count):
        """Sets the keys of redis-benchmark's INCR to 0."""
        self.run(server, "fill", "--prefix", "counter:", "--up-to", count, "--value-bytes", 1, "--value", "0")

    def fixed_rate(self, server, command, per_second, seconds, keys, value_bytes, overwrites=0):
        """Latencies from the due times; `late` is the generator's own share in them."""
        out = self.run(server, "fixed-rate", "--command", command, "--per-second", per_second, "--seconds", seconds,
                       "--keys", keys, "--value-bytes", value_bytes, "--overwrites-per-second", overwrites)
        return parse_fixed_rate(out)

    def beside(self, server, per_second, keys, overwrites=0):
        """GETs at the rate, each timed from when it was due, for as long as the caller's block takes."""
        return Beside(self.program, server, per_second, keys, overwrites)


class Beside:
    """GETs beside something else; `figures` has their latencies at the end, from `begin` on."""

    def __init__(self, program, server, per_second, keys, overwrites):
        self.server = server
        self.per_second = per_second
        self.argv = [program, "fixed-rate", "--port", server.port, "--command", "get", "--per-second", per_second,
                     "--seconds", SECONDS_MAX, "--keys", keys, "--value-bytes", VALUE_BYTES, "--clients", BESIDE_CLIENTS,
                     "--overwrites-per-second", overwrites, "--until-closed"]
        self.process = self.started = self.began = self.figures = None

    def __enter__(self):
        self.started = time.monotonic()
        self.process = subprocess.Popen([str(part) for part in self.argv], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # Its connections, and its first commands.
        time.sleep(0.3)
        self.begin()
        return self

    def begin(self):
        """What is due from now on counts."""
        self.began = time.monotonic()

    def __exit__(self, kind, *_):
        if kind is not None:
            self.process.kill()
        try:
            out, errors = self.process.communicate(timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, errors = self.process.communicate()
        if kind is None:
            if self.process.returncode:
                text = errors.decode(errors="replace").strip()
                raise BenchError(f"{self.server.title}: load fixed-rate: {text[:300]}")
            self.figures = parse_fixed_rate(out, int((self.began - self.started) * self.per_second))


def parse_fixed_rate(out, skipped=0):
    """The figures of the program's pairs of native u64, without the first `skipped` ones."""
    numbers = array.array("Q")
    numbers.frombytes(out)
    latencies, late = numbers[2 * skipped:-2:2], numbers[2 * skipped + 1:-2:2]
    if not latencies:
        raise BenchError("the load program measured nothing")
    figures = summary(latencies)
    figures["late_p999_us"] = summary(late)["p999_us"]
    figures["commands"] = len(latencies)
    figures["overwrites"], figures["overwrites_left_out"] = numbers[-2], numbers[-1]
    return figures
