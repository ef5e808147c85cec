"""Steps on plain files: what comes out is what went in, minus rows or with text replaced, byte for byte otherwise."""

from __future__ import annotations

from datakit.plain.engine import PlainResult, run
from datakit.plain.files import PlainFile, Reading, open_files
from datakit.plain.records import Batch, Record

__all__ = ["Batch", "PlainFile", "PlainResult", "Reading", "Record", "open_files", "run"]
