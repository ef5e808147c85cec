"""Frames and values on the pipes between us and the worker process.

To the worker values go as marshal writes them: exact and several times as fast as JSON. From the worker, which may be
in the hands of a hostile template, come plain text and JSON only: reading them can do no harm.
"""

from __future__ import annotations

import datetime
import decimal
import marshal
import os
import select
from collections.abc import Callable, Mapping
from typing import Any

__all__ = [
    "DRAW",
    "FIXED",
    "JSON",
    "PARTS",
    "is_plain",
    "pack_row",
    "read_frame",
    "unpack_row",
    "waiter",
    "write_frame",
]

PARTS, JSON, DRAW, DREW = b"P", b"J", b"D", b"U"
"""First byte of what the worker says: one row's parts, divided by unit separators; JSON; the wish for the generator's
state; the number of words drawn, in front of one of the first two."""

FIXED = "fixed"
"""Stands for answer choices that are the same for every row; they are told once."""

_LOOKS = 200
_TAG = "\x00type"
_SCALARS = frozenset({str, int, float, bool, bytes, type(None)})


def waiter(descriptor: int) -> Callable[[int | None], bool]:
    """A function that waits up to so many milliseconds (None: for ever) until something can be read.

    It looks a while before it sleeps, since waking a process on another processor takes as long as several rows do,
    inside a virtual machine most of all. Where looking was in vain (both processes share a processor, or a row takes
    long) it sleeps at once the next times, twice as many after each failure.
    """
    if not hasattr(select, "poll"):  # Windows: the worker's own limits remain
        return lambda milliseconds: True
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    poll, looks = poller.poll, range(_LOOKS)
    asleep = penalty = 0

    def wait(milliseconds: int | None) -> bool:
        nonlocal asleep, penalty
        if asleep:
            asleep -= 1
            return bool(poll(milliseconds))
        for _ in looks:
            if poll(0):
                penalty = 0
                return True
        penalty = min(2 * penalty + 1, _LOOKS)
        asleep = penalty
        return bool(poll(milliseconds))

    return wait


def read_frame(descriptor: int) -> bytes | None:
    """One frame; None at the end of the stream."""
    data = os.read(descriptor, 1 << 16)
    while data and len(data) < 4:
        more = os.read(descriptor, 1 << 16)
        if not more:
            return None
        data += more
    if not data:
        return None
    size = int.from_bytes(data[:4], "little")
    if len(data) == size + 4:
        return data[4:]
    parts, left = [data[4:]], size + 4 - len(data)
    while left:
        more = os.read(descriptor, min(left, 1 << 20))
        if not more:
            return None
        parts.append(more)
        left -= len(more)
    return b"".join(parts)


def write_frame(descriptor: int, payload: bytes) -> None:
    """Writes one frame whole."""
    data = len(payload).to_bytes(4, "little") + payload
    written = os.write(descriptor, data)
    while written < len(data):
        data = data[written:]
        written = os.write(descriptor, data)


def is_plain(value: Any) -> bool:
    """Whether marshal says the value exactly: scalars, lists, tuples and mappings of such, none of a derived class."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind is dict:
        return all(type(key) in _SCALARS and (type(item) in _SCALARS or is_plain(item)) for key, item in value.items())
    return (kind is list or kind is tuple) and all(type(item) in _SCALARS or is_plain(item) for item in value)


def pack_row(row: Mapping[str, Any]) -> bytes:
    """A row for the worker.

    Raises:
        TypeError: A value that cannot be said.
        RecursionError, ValueError: Nested too deeply.
    """
    plain = is_plain(row)
    said: Any = (plain, row if plain else _tag(row))
    return marshal.dumps(said)


def unpack_row(data: bytes) -> dict[str, Any]:
    """The inverse of :func:`pack_row`."""
    plain, row = marshal.loads(data)
    values: dict[str, Any] = row if plain else _untag(row)
    return values


def _tag(value: Any) -> Any:
    """The value in plain terms; dates, decimals, tuples and mappings with other keys are marked.

    Raises:
        TypeError: A value of another type.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is list:
        return [_tag(item) for item in value]
    if isinstance(value, Mapping):
        if all(type(key) is str for key in value) and _TAG not in value:
            return {key: _tag(item) for key, item in value.items()}
        return {_TAG: "dict", "value": [[_tag(key), _tag(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {_TAG: "tuple", "value": [_tag(item) for item in value]}
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return {_TAG: kind.__name__ if kind.__module__ == "datetime" else "datetime", "value": value.isoformat()}
    if isinstance(value, decimal.Decimal):
        return {_TAG: "decimal", "value": str(value)}
    plain: Any
    for plain in (str, bool, int, float, bytes):
        if isinstance(value, plain):
            return plain(value)
    if hasattr(value, "tolist"):  # a numpy scalar or array
        return _tag(value.tolist())
    raise TypeError(f"a value of type {kind.__name__} cannot be handed to a template")


_READERS: dict[str, Any] = {
    "dict": lambda pairs: {_untag(key): _untag(item) for key, item in pairs},
    "tuple": lambda items: tuple(_untag(item) for item in items),
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "decimal": decimal.Decimal,
}


def _untag(value: Any) -> Any:
    """The inverse of :func:`_tag`."""
    if isinstance(value, list):
        return [_untag(item) for item in value]
    if isinstance(value, dict):
        if _TAG in value:
            return _READERS[value[_TAG]](value["value"])
        return {key: _untag(item) for key, item in value.items()}
    return value
