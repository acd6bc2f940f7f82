"""The methods that Database and Client have in common: pmemkv's six shapes of a range, and the `with` block."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Optional, Sequence, Type, TypeVar, Union

#: A key or a value: a str is stored as UTF-8.
Text = Union[str, bytes, bytearray, memoryview]

OnKey = Callable[[bytes], Any]
OnPair = Callable[[bytes, bytes], Any]
OnKeyString = Callable[[str], Any]
OnPairString = Callable[[str, str], Any]

# The shapes; src/range.rs knows the same numbers.
ALL, ABOVE, EQUAL_ABOVE, BELOW, EQUAL_BELOW, BETWEEN = range(6)

Self = TypeVar("Self", bound="Ranges")


class Ranges:
    """Walks and counts over ranges of keys.

    Bounds are not part of the range unless the name says `equal`. The functions get each pair (or key) as `bytes`, those
    of the methods with `string` in their names as `str`. What a function returns is ignored; what it raises ends the walk
    and comes back to the caller. On an engine without order (cmap, vcmap) Database raises NotSupported for every range but
    the whole; Client has the ranges on every engine.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        # Database and Client have these.
        def stop(self) -> None: ...

        def _count(self, shape: int, *keys: Text) -> int: ...

        def _walk(
            self,
            shape: int,
            keys: Sequence[Text],
            func: Callable[..., Any],
            values: bool,
            encoding: Optional[str] = None,
        ) -> None: ...

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: Optional[Type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.stop()

    # Keys.

    def get_keys(self, func: OnKey) -> None:
        """Calls `func(key)` for every key."""
        self._walk(ALL, (), func, False)

    def get_keys_above(self, key: Text, func: OnKey) -> None:
        """Calls `func(key)` for every key greater than `key`."""
        self._walk(ABOVE, (key,), func, False)

    def get_keys_equal_above(self, key: Text, func: OnKey) -> None:
        """Calls `func(key)` for `key` and every greater one."""
        self._walk(EQUAL_ABOVE, (key,), func, False)

    def get_keys_below(self, key: Text, func: OnKey) -> None:
        """Calls `func(key)` for every key smaller than `key`."""
        self._walk(BELOW, (key,), func, False)

    def get_keys_equal_below(self, key: Text, func: OnKey) -> None:
        """Calls `func(key)` for `key` and every smaller one."""
        self._walk(EQUAL_BELOW, (key,), func, False)

    def get_keys_between(self, key1: Text, key2: Text, func: OnKey) -> None:
        """Calls `func(key)` for every key greater than `key1` and smaller than `key2`."""
        self._walk(BETWEEN, (key1, key2), func, False)

    # Keys as str.

    def get_keys_strings(self, func: OnKeyString, encoding: str = "utf-8") -> None:
        """As get_keys, with keys as `str`."""
        self._walk(ALL, (), func, False, encoding)

    def get_keys_strings_above(self, key: Text, func: OnKeyString, encoding: str = "utf-8") -> None:
        """As get_keys_above, with keys as `str`."""
        self._walk(ABOVE, (key,), func, False, encoding)

    def get_keys_strings_equal_above(self, key: Text, func: OnKeyString, encoding: str = "utf-8") -> None:
        """As get_keys_equal_above, with keys as `str`."""
        self._walk(EQUAL_ABOVE, (key,), func, False, encoding)

    def get_keys_strings_below(self, key: Text, func: OnKeyString, encoding: str = "utf-8") -> None:
        """As get_keys_below, with keys as `str`."""
        self._walk(BELOW, (key,), func, False, encoding)

    def get_keys_strings_equal_below(self, key: Text, func: OnKeyString, encoding: str = "utf-8") -> None:
        """As get_keys_equal_below, with keys as `str`."""
        self._walk(EQUAL_BELOW, (key,), func, False, encoding)

    def get_keys_strings_between(self, key1: Text, key2: Text, func: OnKeyString, encoding: str = "utf-8") -> None:
        """As get_keys_between, with keys as `str`."""
        self._walk(BETWEEN, (key1, key2), func, False, encoding)

    # Pairs.

    def get_all(self, func: OnPair) -> None:
        """Calls `func(key, value)` for every pair."""
        self._walk(ALL, (), func, True)

    def get_above(self, key: Text, func: OnPair) -> None:
        """Calls `func(key, value)` for every pair whose key is greater than `key`."""
        self._walk(ABOVE, (key,), func, True)

    def get_equal_above(self, key: Text, func: OnPair) -> None:
        """Calls `func(key, value)` for every pair whose key is `key` or greater."""
        self._walk(EQUAL_ABOVE, (key,), func, True)

    def get_below(self, key: Text, func: OnPair) -> None:
        """Calls `func(key, value)` for every pair whose key is smaller than `key`."""
        self._walk(BELOW, (key,), func, True)

    def get_equal_below(self, key: Text, func: OnPair) -> None:
        """Calls `func(key, value)` for every pair whose key is `key` or smaller."""
        self._walk(EQUAL_BELOW, (key,), func, True)

    def get_between(self, key1: Text, key2: Text, func: OnPair) -> None:
        """Calls `func(key, value)` for every pair whose key is greater than `key1` and smaller than `key2`."""
        self._walk(BETWEEN, (key1, key2), func, True)

    # Pairs as str.

    def get_all_string(self, func: OnPairString, encoding: str = "utf-8") -> None:
        """As get_all, with keys and values as `str`."""
        self._walk(ALL, (), func, True, encoding)

    def get_all_strings(self, func: OnPairString, encoding: str = "utf-8") -> None:
        """Another name of get_all_string."""
        self._walk(ALL, (), func, True, encoding)

    def get_string_above(self, key: Text, func: OnPairString, encoding: str = "utf-8") -> None:
        """As get_above, with keys and values as `str`."""
        self._walk(ABOVE, (key,), func, True, encoding)

    def get_string_equal_above(self, key: Text, func: OnPairString, encoding: str = "utf-8") -> None:
        """As get_equal_above, with keys and values as `str`."""
        self._walk(EQUAL_ABOVE, (key,), func, True, encoding)

    def get_string_below(self, key: Text, func: OnPairString, encoding: str = "utf-8") -> None:
        """As get_below, with keys and values as `str`."""
        self._walk(BELOW, (key,), func, True, encoding)

    def get_string_equal_below(self, key: Text, func: OnPairString, encoding: str = "utf-8") -> None:
        """As get_equal_below, with keys and values as `str`."""
        self._walk(EQUAL_BELOW, (key,), func, True, encoding)

    def get_string_between(self, key1: Text, key2: Text, func: OnPairString, encoding: str = "utf-8") -> None:
        """As get_between, with keys and values as `str`."""
        self._walk(BETWEEN, (key1, key2), func, True, encoding)

    # Counts.

    def count_above(self, key: Text) -> int:
        """How many keys are greater than `key`."""
        return self._count(ABOVE, key)

    def count_equal_above(self, key: Text) -> int:
        """How many keys are `key` or greater."""
        return self._count(EQUAL_ABOVE, key)

    def count_below(self, key: Text) -> int:
        """How many keys are smaller than `key`."""
        return self._count(BELOW, key)

    def count_equal_below(self, key: Text) -> int:
        """How many keys are `key` or smaller."""
        return self._count(EQUAL_BELOW, key)

    def count_between(self, key1: Text, key2: Text) -> int:
        """How many keys are greater than `key1` and smaller than `key2`."""
        return self._count(BETWEEN, key1, key2)
