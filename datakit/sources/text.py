"""Plain text: a row per line, per paragraph or per file. Every row also has the column ``file``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from datakit.sources.rows import Row, line_encoding, lines, undecodable
from datakit.sources.spec import SourceSpec
from datakit.sources.streams import Stream

__all__ = ["read_text"]


def read_text(stream: Stream, spec: SourceSpec) -> Iterator[Row]:
    """Rows of a text file, cut as ``spec.rows`` says; blank lines are no rows.

    The column ``file`` is the file's bare name, so that ``labels: {column: file}`` can use it.
    """
    encoding = line_encoding(spec.encoding)
    name = PurePosixPath(stream.name).name
    for start, raw in _pieces(stream, spec):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError as error:
            yield start, raw, undecodable(encoding, error)
            continue
        text = text.strip("\r\n") if spec.rows != "line" else text.rstrip("\r\n")
        if text and not text.isspace():
            yield start, raw, {"text": text, "file": name}


def _pieces(stream: Stream, spec: SourceSpec) -> Iterator[tuple[int, bytes]]:
    source = enumerate(lines(stream, spec.encoding), start=1)
    if spec.rows == "line":
        yield from source
    elif spec.rows == "file":
        yield 1, b"".join(line for _, line in source)
    else:
        held: list[bytes] = []
        start = 1
        for number, line in source:
            if line.strip():
                start = start if held else number
                held.append(line)
            elif held:
                yield start, b"".join(held)
                held.clear()
        if held:
            yield start, b"".join(held)
