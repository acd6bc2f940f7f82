"""pmemkv for Python: a key-value store in persistent memory.

Database opens an engine of pmemkv in this process, Client speaks to a running pmemkv-server. Both have the same methods,
results and exceptions.
"""

from typing import TYPE_CHECKING, Any

from pmemkv._database import Database
from pmemkv._errors import (
    ComparatorMismatch,
    ConfigParsingError,
    ConfigTypeError,
    ConnectionFailed,
    DefragError,
    Error,
    InvalidArgument,
    NotFound,
    NotSupported,
    OutOfMemory,
    Reentrant,
    Stopped,
    StoppedByCallback,
    TransactionScopeError,
    UnknownError,
    WrongEngineName,
)

if TYPE_CHECKING:
    from pmemkv._client import Client

__all__ = [
    "Client",
    "ComparatorMismatch",
    "ConfigParsingError",
    "ConfigTypeError",
    "ConnectionFailed",
    "Database",
    "DefragError",
    "Error",
    "InvalidArgument",
    "NotFound",
    "NotSupported",
    "OutOfMemory",
    "Reentrant",
    "Stopped",
    "StoppedByCallback",
    "TransactionScopeError",
    "UnknownError",
    "WrongEngineName",
]


def __getattr__(name: str) -> Any:
    # Client needs redis-py, whose import takes longer than all the rest. Who opens a Database does not wait for it.
    if name == "Client":
        from pmemkv._client import Client

        globals()["Client"] = Client
        return Client
    raise AttributeError(f"module 'pmemkv' has no attribute {name!r}")
