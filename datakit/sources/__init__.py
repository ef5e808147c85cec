"""Raw data of many formats and places, read into one schema with the place of every row.

A new format is a function from a stream to rows, registered in the entry-point group ``datakit.sources``.
"""

from __future__ import annotations

from datakit.sources.rows import BadRow, Row
from datakit.sources.source import Source, SourceOutput, label_names, open_source, read
from datakit.sources.spec import Labels, SourceSpec
from datakit.sources.streams import Stream

__all__ = [
    "BadRow",
    "Labels",
    "Row",
    "Source",
    "SourceOutput",
    "SourceSpec",
    "Stream",
    "label_names",
    "open_source",
    "read",
]
