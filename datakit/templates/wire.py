"""Frames and values on the pipe between us and the worker process: JSON, with tags for what JSON cannot say."""

from __future__ import annotations

import array
import base64
import datetime
import decimal
import os
from collections.abc import Mapping
from typing import Any

__all__ = ["FIXED", "is_plain", "pack_state", "read_frame", "tag", "unpack_state", "untag", "write_frame"]

FIXED = "fixed"
"""Stands for answer choices that are the same for every row; they are told once."""

_TAG = "\x00type"
_SCALARS = frozenset({str, int, float, bool, type(None)})


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
    data = memoryview(len(payload).to_bytes(4, "little") + payload)
    while data:
        data = data[os.write(descriptor, data) :]


def is_plain(value: Any) -> bool:
    """Whether JSON says the value exactly as it is: strings, numbers, null, lists, and mappings with string keys."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind is list:
        return all(type(item) in _SCALARS or is_plain(item) for item in value)
    if kind is dict:
        return all(type(key) is str and (type(item) in _SCALARS or is_plain(item)) for key, item in value.items())
    return False


def tag(value: Any) -> Any:
    """The value in JSON's terms; tuples, dates, bytes, decimals and mappings with other keys are marked.

    Raises:
        TypeError: A value of another type.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is list:
        return [tag(item) for item in value]
    if isinstance(value, Mapping):
        if all(type(key) is str for key in value) and _TAG not in value:
            return {key: tag(item) for key, item in value.items()}
        return {_TAG: "dict", "value": [[tag(key), tag(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {_TAG: "tuple", "value": [tag(item) for item in value]}
    if isinstance(value, bytes):
        return {_TAG: "bytes", "value": base64.b64encode(value).decode()}
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return {_TAG: kind.__name__ if kind.__module__ == "datetime" else "datetime", "value": value.isoformat()}
    if isinstance(value, decimal.Decimal):
        return {_TAG: "decimal", "value": str(value)}
    for plain in (str, bool, int, float):
        if isinstance(value, plain):
            return plain(value)
    if hasattr(value, "tolist"):  # a numpy scalar or array
        return tag(value.tolist())
    raise TypeError(f"a value of type {kind.__name__} cannot be handed to a template")


_READERS: dict[str, Any] = {
    "dict": lambda pairs: {untag(key): untag(item) for key, item in pairs},
    "tuple": lambda items: tuple(untag(item) for item in items),
    "bytes": base64.b64decode,
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "decimal": decimal.Decimal,
}


def untag(value: Any) -> Any:
    """The inverse of :func:`tag`."""
    if isinstance(value, list):
        return [untag(item) for item in value]
    if isinstance(value, dict):
        if _TAG in value:
            return _READERS[value[_TAG]](value["value"])
        return {key: untag(item) for key, item in value.items()}
    return value


def pack_state(state: tuple[Any, ...]) -> list[Any]:
    """The state of the global generator, short."""
    version, words, gauss = state
    return [version, base64.b64encode(array.array("I", words).tobytes()).decode(), gauss]


def unpack_state(packed: list[Any]) -> tuple[Any, ...]:
    """The inverse of :func:`pack_state`; both ends are one machine."""
    version, words, gauss = packed
    return version, tuple(array.array("I", base64.b64decode(words))), gauss
