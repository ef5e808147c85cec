"""JSON: one object per line, or one array of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from datakit.core.errors import SourceError
from datakit.sources.rows import BadRow, Row, line_encoding, lines, undecodable
from datakit.sources.spec import SourceSpec
from datakit.sources.streams import Stream

__all__ = ["read_json", "read_jsonl"]

# NaN is no JSON, but Python and pandas write it for a missing number.
_decode = json.JSONDecoder(parse_constant=lambda name: None if name == "NaN" else float(name)).decode
_SPACE = re.compile(r"[ \t\r\n]*")


def read_jsonl(stream: Stream, spec: SourceSpec) -> Iterator[Row]:
    """Rows of a file with one object per line; blank lines are no rows."""
    encoding = line_encoding(spec.encoding)
    for number, line in enumerate(lines(stream, spec.encoding), start=1):
        raw = line.rstrip(b"\r\n")
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError as error:
            yield number, raw, undecodable(encoding, error)
            continue
        if not text or text.isspace():
            continue
        yield number, raw, _object(text)


def _object(text: str) -> dict[str, Any] | BadRow:
    try:
        value = _decode(text)
    except json.JSONDecodeError as error:
        return BadRow("bad_json", f"not valid JSON: {error.msg} at column {error.colno}")
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, brackets thousands deep
        return BadRow("bad_json", f"JSON that cannot be held: {error}")
    return _checked(value, text)


def _checked(value: Any, text: str) -> dict[str, Any] | BadRow:
    if not isinstance(value, dict):
        return BadRow("bad_row", f"an object is needed, this is a JSON {_kind(value)}")
    # Half of a surrogate pair, as some exports of cut-off emoji have it, is no Unicode text and cannot be stored.
    if ("\\ud" in text or "\\uD" in text) and _has_lone_surrogate(value):
        return BadRow("bad_encoding", "half of a surrogate pair (\\ud800 to \\udfff) stands alone in a text")
    return value


def _has_lone_surrogate(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _kind(value: Any) -> str:
    kinds = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")


def read_json(stream: Stream, spec: SourceSpec) -> Iterator[Row]:
    """Rows of a JSON array of objects; a file that does not begin with ``[`` is read as one object per line.

    The text is held in memory as a whole, its rows one after another. Line numbers are those where objects begin.

    Raises:
        SourceError: Invalid text or a broken array: what follows the break cannot be told apart.
    """
    if not stream.head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x00").startswith((b"[", b"\xff", b"\xfe")):
        yield from _lines_or_one(stream, spec)
        return
    text = _whole(stream, spec)
    decoder = json.JSONDecoder(parse_constant=lambda name: None if name == "NaN" else float(name))
    position = _skip(text, 0)
    if text[position : position + 1] != "[":
        raise SourceError("no JSON array", where=f"{stream.name}:1", hint="Write format: jsonl for an object per line")
    position, line, counted = _skip(text, position + 1), 1, 0
    while position < len(text) and text[position] != "]":
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, end = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise SourceError(f"not valid JSON: {error.msg}", where=f"{stream.name}:{error.lineno}") from None
        except (ValueError, RecursionError) as error:
            raise SourceError(f"JSON that cannot be held: {error}", where=f"{stream.name}:{line}") from None
        raw = text[position:end]
        yield line, raw, _checked(value, raw)
        position = _after(text, end, stream.name)
    if position >= len(text):
        raise SourceError("the array is not closed: the file is cut off", where=stream.name)


def _after(text: str, end: int, name: str) -> int:
    """Position of the next object or of the closing bracket."""
    position = _skip(text, end)
    if text[position : position + 1] == ",":
        return _skip(text, position + 1)
    if position < len(text) and text[position] != "]":
        line = text.count("\n", 0, position) + 1
        raise SourceError("not valid JSON: a comma is missing", where=f"{name}:{line}")
    return position


def _skip(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return position if found is None else found.end()


def _whole(stream: Stream, spec: SourceSpec) -> str:
    raw = b"".join(lines(stream, spec.encoding))
    encoding = line_encoding(spec.encoding)
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SourceError(f"not valid {encoding}", where=f"{stream.name}:{line}", hint="Write its encoding") from None


def _lines_or_one(stream: Stream, spec: SourceSpec) -> Iterator[Row]:
    """One object per line, or, told by its first line, one object over many lines: that is no table."""
    rows = read_jsonl(stream, spec)
    first = next(rows, None)
    if first is None:
        return
    number, raw, value = first
    if isinstance(value, BadRow) and value.reason == "bad_json" and raw.strip() in (b"{", "{"):
        raise SourceError(
            "a single JSON object; accepted are an array of objects and one object per line",
            where=f"{stream.name}:{number}",
        )
    yield first
    yield from rows
