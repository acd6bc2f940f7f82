"""The exceptions: one for each status of pmemkv, and those that the package finds by itself."""

from __future__ import annotations

from typing import ClassVar


class Error(Exception):
    """What pmemkv, this package or the server refuses. The message is its argument."""

    #: pmemkv's number of the status.
    status: ClassVar[int] = 1

    def __str__(self) -> str:
        # KeyError would quote the message.
        return str(self.args[0]) if self.args else ""


class UnknownError(Error):
    """pmemkv has no better name for it."""


class NotFound(Error, KeyError):
    """There is no such key. It is a KeyError too."""

    status = 2


class NotSupported(Error):
    """The engine does not have this call, as an unsorted one has no ranges."""

    status = 3


class InvalidArgument(Error):
    """An argument or an item of the config is wrong or missing."""

    status = 4


class Stopped(InvalidArgument):
    """The database is stopped."""


class Reentrant(InvalidArgument):
    """A callback has called the database that is calling it."""


class ConfigParsingError(Error):
    """The config is no JSON, or holds a type that pmemkv does not take."""

    status = 5


class ConfigTypeError(Error):
    """An item of the config has the wrong type."""

    status = 6


class StoppedByCallback(Error):
    """A callback ended the walk in an unexpected way."""

    status = 7


class OutOfMemory(Error, MemoryError):
    """The pool or the memory is full. It is a MemoryError too."""

    status = 8


class WrongEngineName(Error):
    """The installed library has no engine of this name."""

    status = 9


class TransactionScopeError(Error):
    """A transaction of libpmemobj is in the wrong state."""

    status = 10


class DefragError(Error):
    """The defragmentation stopped early."""

    status = 11


class ComparatorMismatch(Error):
    """The data were ordered by another comparator."""

    status = 12


class ConnectionFailed(Error, ConnectionError):
    """The server cannot be reached, or does not let the client in. It is a ConnectionError too."""
