"""pmemkv for Python: a key-value store in persistent memory.

Database opens an engine of pmemkv in this process, Client speaks to a running pmemkv-server. Both have the same methods,
results and exceptions.
"""

from pmemkv._client import Client
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
