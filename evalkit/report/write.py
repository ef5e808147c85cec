"""The three files of a report."""

from __future__ import annotations

from pathlib import Path

from datakit.core.storage import write_json, write_text
from evalkit.report.data import document
from evalkit.report.html import page
from evalkit.report.markdown import markdown
from evalkit.report.model import Report

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
    write_text(paths["html"], page(report))
    return paths
