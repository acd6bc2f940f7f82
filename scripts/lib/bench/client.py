"""Just enough of the protocol for single commands, and the data that every measurement uses."""

import socket

KEY_BYTES = 16


class BenchError(Exception):
    """A measurement that cannot be trusted; the text says why."""


def key_of(number):
    """The key that redis-benchmark makes of the number: 16 bytes."""
    return b"key:%012d" % number


def value_of(number, size):
    """The value that the load program gives the key: only this key has it, so that a GET can be checked."""
    return (b"%016x" % number * (size // 16 + 1))[:size]


def encode(*args):
    """A command, encoded."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        arg = arg if isinstance(arg, bytes) else str(arg).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(arg), arg))
    return b"".join(parts)


class Client:
    """One connection."""

    def __init__(self, port, timeout=120):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def call(self, *args):
        """The reply: bytes, an int, None or a list of these; an error reply is a BenchError."""
        self.socket.sendall(encode(*args))
        return self.reply()

    def pipeline(self, commands):
        """Sends encoded commands at once and returns their replies; the first error reply is a BenchError."""
        self.socket.sendall(b"".join(commands))
        return [self.reply() for _ in commands]

    def reply(self):
        """The next reply."""
        line = self.file.readline()
        if not line:
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"-":
            raise BenchError(rest.decode())
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

    def info(self, section):
        """The section's fields, as texts."""
        return parse_info(self.call("INFO", section).decode())


def parse_info(text):
    """{field: value} of INFO's text."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))
    return {name: value.strip() for name, value in pairs}
