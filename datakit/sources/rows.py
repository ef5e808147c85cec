"""The pieces every reader yields: a raw row with its place and bytes, or what is wrong with it."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from datakit.core.errors import SourceError
from datakit.sources.streams import Stream

__all__ = ["BadRow", "Row", "line_encoding", "lines", "numbered", "undecodable"]


@dataclass(frozen=True, slots=True)
class BadRow:
    """What is wrong with a row.

    Attributes:
        reason: Slug for the ledger: bad_json, bad_encoding, bad_row, missing_value, wrong_type, unknown_label.
        message: For people; may name columns, never enters the ledger.
    """

    reason: str
    message: str


Row = tuple[int, str | bytes, "dict[str, Any] | BadRow"]
"""Line number (from 1), raw content, and the columns or what is wrong."""

_WIDE = ("utf-16", "utf-32")


def undecodable(encoding: str, error: UnicodeDecodeError) -> BadRow:
    """The bad row for bytes that are no text in this encoding."""
    return BadRow("bad_encoding", f"byte {error.start + 1} of the row is not valid {encoding}")


def lines(stream: Stream, encoding: str) -> Iterator[bytes]:
    """Lines as bytes with their ends, without the byte order mark; wide encodings come out as UTF-8.

    Raises:
        SourceError: UTF-16 or UTF-32 that is broken, or that was not announced.
    """
    codec = codecs.lookup(encoding).name
    if codec.startswith(_WIDE):
        text = io.TextIOWrapper(stream.bytes, encoding=encoding, newline="")
        try:
            for wide in text:
                yield wide.encode("utf-8")
        except UnicodeError as error:
            raise SourceError(f"not valid {encoding} ({error})", where=stream.name) from None
        finally:
            text.detach()  # or it would close a stream that is not its own
        return
    if stream.head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SourceError("this is UTF-16", where=stream.name, hint="Write encoding: utf-16")
    first = True
    for line in stream.bytes:
        yield line.removeprefix(codecs.BOM_UTF8) if first else line
        first = False


def line_encoding(encoding: str) -> str:
    """The encoding of what :func:`lines` yields."""
    return "utf-8" if codecs.lookup(encoding).name.startswith((*_WIDE, "utf-8")) else encoding


def numbered(names: Sequence[str]) -> list[str]:
    """Column names with ``column1``, ``column2``, ... where a name is empty."""
    return [name or f"column{index}" for index, name in enumerate(names, start=1)]
