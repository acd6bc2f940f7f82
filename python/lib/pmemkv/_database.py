"""Database: an engine of pmemkv in this process."""

from __future__ import annotations

import json
import os
from typing import Any, Mapping, Union

from pmemkv._native import Engine, forked
from pmemkv._ranges import Ranges

os.register_at_fork(after_in_child=forked)


class Database(Ranges, Engine):
    """An engine of pmemkv, open in this process.

    >>> import pmemkv
    >>> with pmemkv.Database("vsmap", {"path": "/dev/shm", "size": 1 << 26}) as db:
    ...     db["key"] = "value"
    ...     db.get_string("key"), db.get(b"key"), "other" in db, len(db)
    ('value', b'value', False, 1)

    Threads may share it. It belongs to the process that opened it: after a fork the child opens its own. While a walk calls
    its function, other threads' calls wait; the function may read the database if the engine is a tree (stree, vsmap), and
    gets Reentrant otherwise.
    """

    def __init__(self, engine: str, config: Union[Mapping[str, Any], str, bytes]) -> None:
        """Opens the engine.

        `config` is a dict, or JSON text: as {"path": "/dev/shm/db.pool", "size": 1 << 30, "force_create": 1} for cmap,
        where force_create makes the pool; {"path": "/dev/shm", "size": 1 << 30} for vsmap; {} for blackhole. Paths may be
        path objects.
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
        self._start(engine, text)

    def start(self) -> None:
        """Opens the engine again after a stop, with the same config. The constructor has opened it already."""
        self._start(self.engine, self.config)
