"""Database: an engine of pmemkv in this process."""

from __future__ import annotations

import json
import os
from typing import Any, Callable, Mapping, Optional, Sequence, Union, overload

from pmemkv._errors import NotFound
from pmemkv._native import Engine, forked
from pmemkv._ranges import Ranges, Text

os.register_at_fork(after_in_child=forked)


class Database(Ranges):
    """An engine of pmemkv, open in this process.

    >>> import pmemkv
    >>> with pmemkv.Database("vsmap", {"path": "/dev/shm", "size": 1 << 26}) as db:
    ...     db["key"] = "value"
    ...     db.get_string("key"), db.get(b"key"), "other" in db, len(db)
    ('value', b'value', False, 1)

    Threads may share it. It belongs to the process that opened it: after a fork the child opens its own. While a walk
    calls its function, other threads' calls wait; the function may read the database if the engine is a tree (stree,
    vsmap), and gets Reentrant otherwise.
    """

    # The methods reach the engine by its operators where they can: the interpreter runs these faster than calls. They do not
    # use this object's own operators, because a subclass may define them by the methods.

    def __init__(self, engine: str, config: Union[Mapping[str, Any], str, bytes]) -> None:
        """Opens the engine.

        `config` is a dict, or JSON text: as {"path": "/dev/shm/db.pool", "size": 1 << 30, "force_create": 1} for cmap,
        where force_create makes the pool; {"path": "/dev/shm", "size": 1 << 30} for vsmap; {} for blackhole. Paths may
        be path objects.
        """
        if isinstance(config, Mapping):
            text = json.dumps(dict(config), default=os.fspath)
        elif isinstance(config, bytes):
            text = config.decode()
        elif isinstance(config, str):
            text = config
        else:
            raise TypeError(f"config must be a dict or JSON text, not {type(config).__name__!r}")
        #: The engine's name.
        self.engine = engine
        #: The config in JSON.
        self.config = text
        self._engine = Engine(engine, text)

    def stop(self) -> None:
        """Stops the engine: waits for the calls of other threads, and closes it. A second stop does nothing."""
        self._engine.stop()

    @property
    def stopped(self) -> bool:
        """Whether the engine is stopped."""
        return self._engine.stopped

    def put(self, key: Text, value: Text) -> None:
        """Stores a pair; an existing key gets the new value.

        Key and value are `str`, stored as UTF-8, or bytes-like. On an engine with a pool the pair outlives the process
        when this returns.
        """
        self._engine[key] = value

    @overload
    def get(self, key: Text, func: None = None) -> bytes: ...
    @overload
    def get(self, key: Text, func: Callable[[bytes], Any]) -> None: ...
    def get(self, key: Text, func: Optional[Callable[[bytes], Any]] = None) -> Optional[bytes]:
        """Returns the value as `bytes`, or calls `func` with it and returns None.

        Raises NotFound, a KeyError, if there is no such key. The value is a copy: `func` may keep it, and may call the
        database.
        """
        value = self._engine[key]
        if func is None:
            return value
        func(value)
        return None

    def get_string(self, key: Text, encoding: str = "utf-8") -> str:
        """Returns the value as a `str`.

        Raises NotFound, a KeyError, if there is no such key, and UnicodeDecodeError if the value is not in this encoding.
        """
        if encoding == "utf-8":
            return self._engine.get_string(key)
        return self._engine[key].decode(encoding)

    def exists(self, key: Text) -> bool:
        """Whether there is such a key."""
        return key in self._engine

    def remove(self, key: Text) -> bool:
        """Removes a pair. Returns whether there was one; blackhole always says so."""
        try:
            del self._engine[key]
        except NotFound:
            return False
        return True

    def count_all(self) -> int:
        """How many pairs there are."""
        return len(self._engine)

    def defrag(self, start_percent: float = 0.0, amount_percent: float = 100.0) -> None:
        """Defragments a part of the pool, in percent of it, where the engine can."""
        self._engine.defrag(start_percent, amount_percent)

    def _count(self, shape: int, *keys: Text) -> int:
        return self._engine.count(shape, keys)

    def _walk(
        self,
        shape: int,
        keys: Sequence[Text],
        func: Callable[..., Any],
        values: bool,
        encoding: Optional[str] = None,
    ) -> None:
        self._engine.walk(shape, keys, func, values, encoding)

    def __len__(self) -> int:
        return len(self._engine)

    def __contains__(self, key: Text) -> bool:
        return key in self._engine

    def __getitem__(self, key: Text) -> str:
        try:
            return self._engine.get_string(key)
        except NotFound:
            raise NotFound(key) from None

    def __setitem__(self, key: Text, value: Text) -> None:
        self._engine[key] = value

    def __delitem__(self, key: Text) -> None:
        try:
            del self._engine[key]
        except NotFound:
            raise NotFound(key) from None
