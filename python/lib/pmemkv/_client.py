"""Client: the methods of Database over the wire, to a running pmemkv-server."""

from __future__ import annotations

import functools
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple, TypeVar, overload

import redis

from pmemkv import _errors as errors
from pmemkv._ranges import ABOVE, BELOW, BETWEEN, EQUAL_BELOW, Ranges, Text

#: The ends of the commands' names, by shape.
SHAPES = ("ALL", "ABOVE", "EQUALABOVE", "BELOW", "EQUALBELOW", "BETWEEN")

# A walk asks for a page at a time. The pages grow while they are small, and shrink where values are large.
PAGE_PAIRS_FIRST = 16
PAGE_PAIRS_MAX = 1024
PAGE_BYTES_WANTED = 1 << 20

MISSING = "pmemkv: not found: no such key"

Call = TypeVar("Call", bound=Callable[..., Any])


def _data(text: Text) -> bytes:
    """The bytes of a key or value."""
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, bytes):
        return text
    return memoryview(text).tobytes()


def _translated(error: redis.RedisError) -> errors.Error:
    """The exception that Database would raise for what the server or the connection says."""
    message = str(error)
    if isinstance(error, redis.ResponseError):
        # redis-py may have cut the code off.
        if isinstance(error, redis.exceptions.OutOfMemoryError) or message.startswith("OOM "):
            return errors.OutOfMemory(message)
        if isinstance(error, redis.exceptions.NoPermissionError) or message.startswith("NOPERM "):
            return errors.NotSupported(message)
        if message.startswith("WRONGTYPE ") or "exceeds maximum allowed size" in message:
            return errors.InvalidArgument(message)
        if message.lower().startswith(("unknown command", "err unknown command")):
            return errors.NotSupported(message)
        return errors.UnknownError(message)
    if isinstance(error, (redis.ConnectionError, redis.TimeoutError)):
        return errors.ConnectionFailed(message)
    return errors.UnknownError(message)


def _translates(call: Call) -> Call:
    """Refuses a call after the stop, and translates the exceptions of redis-py."""

    @functools.wraps(call)
    def translating(self: "Client", *args: Any, **kwargs: Any) -> Any:
        if self.stopped:
            raise errors.Stopped("the database is closed")
        try:
            return call(self, *args, **kwargs)
        except redis.RedisError as error:
            raise _translated(error) from error

    return translating  # type: ignore[return-value]


class Client(Ranges):
    """A connection to a pmemkv-server that has Database's methods.

    >>> import pmemkv
    >>> db = pmemkv.Client("redis://localhost:6379")  # doctest: +SKIP
    >>> db["key"] = "value"  # doctest: +SKIP

    The methods see the strings of the URL's database. Threads may share it, each call takes a connection of its own; a walk
    asks for a page at a time, so its function may call the database, and keys that others put or remove meanwhile are met
    or not. Ranges work on every engine, in the byte order of the keys.
    """

    def __init__(self, url: str, **options: Any) -> None:
        """Connects to the server at `url`: redis://, rediss:// (TLS) or unix://.

        `options` are those of `redis.Redis.from_url`, as socket_timeout.
        """
        #: Where the server is.
        self.url = url
        connections = redis.Redis.from_url(url, **options)
        # The URL could ask for str, but the methods decide that.
        connections.connection_pool.connection_kwargs["decode_responses"] = False
        try:
            connections.ping()
        except redis.RedisError as error:
            connections.close()
            raise _translated(error) from error
        self._redis: Optional[redis.Redis] = connections

    def stop(self) -> None:
        """Closes the connections; the server runs on. A second stop does nothing."""
        connections, self._redis = self._redis, None
        if connections is not None:
            connections.close()

    @property
    def stopped(self) -> bool:
        """Whether the client is stopped."""
        return self._redis is None

    def _command(self, *words: Any) -> Any:
        connections = self._redis
        if connections is None:
            raise errors.Stopped("the database is closed")
        execute: Callable[..., Any] = connections.execute_command
        return execute(*words)

    @_translates
    def put(self, key: Text, value: Text) -> None:
        """Stores a pair; an existing key gets the new value. When this returns, the server has stored it."""
        self._command("SET", _data(key), _data(value))

    @overload
    def get(self, key: Text, func: None = None) -> bytes: ...
    @overload
    def get(self, key: Text, func: Callable[[bytes], Any]) -> None: ...
    def get(self, key: Text, func: Optional[Callable[[bytes], Any]] = None) -> Optional[bytes]:
        """Returns the value as `bytes`, or calls `func` with it and returns None.

        Raises NotFound, a KeyError, if there is no such key.
        """
        value = self._read(key)
        if value is None:
            raise errors.NotFound(MISSING)
        if func is None:
            return value
        func(value)
        return None

    def get_string(self, key: Text, encoding: str = "utf-8") -> str:
        """Returns the value as a `str`."""
        value = self._read(key)
        if value is None:
            raise errors.NotFound(MISSING)
        return value.decode(encoding)

    @_translates
    def _read(self, key: Text) -> Optional[bytes]:
        value: Optional[bytes] = self._command("GET", _data(key))
        return value

    @_translates
    def exists(self, key: Text) -> bool:
        """Whether there is such a key."""
        return bool(self._command("EXISTS", _data(key)))

    @_translates
    def remove(self, key: Text) -> bool:
        """Removes a pair. Returns whether there was one."""
        return bool(self._command("DEL", _data(key)))

    @_translates
    def count_all(self) -> int:
        """How many pairs there are."""
        return int(self._command("PMEMKV.COUNTALL"))

    @_translates
    def defrag(self, start_percent: float = 0.0, amount_percent: float = 100.0) -> None:
        """Defragments a part of the pool, in percent of it, where the engine can."""
        self._command("PMEMKV.DEFRAG", start_percent, amount_percent)

    @_translates
    def _count(self, shape: int, *keys: Text) -> int:
        return int(self._command(f"PMEMKV.COUNT{SHAPES[shape]}", *map(_data, keys)))

    def _walk(
        self,
        shape: int,
        keys: Sequence[Text],
        func: Callable[..., Any],
        values: bool,
        encoding: Optional[str] = None,
    ) -> None:
        for key, value in self._pairs(shape, [_data(key) for key in keys], values):
            items = (key, value) if values else (key,)
            func(*items) if encoding is None else func(*(item.decode(encoding) for item in items))

    def _pairs(self, shape: int, keys: List[bytes], values: bool) -> Iterator[Tuple[bytes, bytes]]:
        """The pairs of a range; without `values` the keys, each with an empty value."""
        limit = PAGE_PAIRS_FIRST
        while True:
            page = self._page(shape, keys, values, limit)
            yield from page
            if len(page) < limit:
                return
            # The rest of the range: what lies above the last key.
            last = page[-1][0]
            if shape in (BELOW, EQUAL_BELOW, BETWEEN):
                # No key lies between a key and the same with a NUL behind it.
                end = keys[0] + b"\0" if shape == EQUAL_BELOW else keys[-1]
                shape, keys = BETWEEN, [last, end]
            else:
                shape, keys = ABOVE, [last]
            size = sum(len(key) + len(value) for key, value in page)
            wanted = limit * PAGE_BYTES_WANTED // max(size, 1)
            limit = max(1, min(2 * limit, wanted, PAGE_PAIRS_MAX))

    @_translates
    def _page(self, shape: int, keys: List[bytes], values: bool, limit: int) -> List[Tuple[bytes, bytes]]:
        command = f"PMEMKV.{'GET' if values else 'KEYS'}{SHAPES[shape]}"
        reply = self._command(command, *keys, "LIMIT", limit)
        if not values:
            return [(key, b"") for key in reply]
        # RESP3 has a map for it, RESP2 a list.
        return list(reply.items()) if isinstance(reply, dict) else list(zip(reply[::2], reply[1::2]))

    def __len__(self) -> int:
        return self.count_all()

    def __contains__(self, key: Text) -> bool:
        return self.exists(key)

    def __getitem__(self, key: Text) -> str:
        value = self._read(key)
        if value is None:
            raise errors.NotFound(key)
        return value.decode()

    def __setitem__(self, key: Text, value: Text) -> None:
        self.put(key, value)

    def __delitem__(self, key: Text) -> None:
        if not self.remove(key):
            raise errors.NotFound(key)
