"""The files of a report: JSON, Markdown, the page, and beside the page the items it has no room for."""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path

from datakit.core.storage import storage_errors, write_json, write_text
from evalkit.report.data import document
from evalkit.report.html import page
from evalkit.report.markdown import markdown
from evalkit.report.model import Report
from evalkit.report.payload import payload

__all__ = ["write_report"]

FORMAT = 1


def write_report(report: Report, folder: Path) -> dict[str, Path]:
    """Writes report.json, report.md and report.html, each whole or not at all.

    Returns:
        ``{"json": path, "md": path, "html": path}``.

    Raises:
        DiskFull: No space left.
        StorageError: Any other failure to write.
    """
    paths = {kind: folder / f"report.{kind}" for kind in ("json", "md", "html")}
    write_json(paths["json"], document(report), format=FORMAT)
    write_text(paths["md"], markdown(report))
    items = payload(report)
    for name, text in items.files.items():
        write_text(folder / name, text)
    write_text(paths["html"], page(report, items))
    _clear(folder, keep=items.files)
    return paths


def _clear(folder: Path, *, keep: Container[str]) -> None:
    """Removes item files of an earlier, larger report; files of others with such a name stay."""
    for old in folder.glob("items-*.js"):
        if old.name not in keep and re.fullmatch(r"items-\d+\.js", old.name):
            with storage_errors(old), old.open("rb") as stream:
                ours = stream.read(13) == b"datakitItems("
            if ours:
                old.unlink()
