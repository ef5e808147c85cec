"""report.html."""

from __future__ import annotations

from evalkit.report.model import Report

__all__ = ["page"]


def page(report: Report) -> str:
    """The whole page."""
    import json

    from evalkit.report.data import document

    return "<!doctype html><meta charset=utf-8><pre>" + json.dumps(document(report), ensure_ascii=False).replace(
        "<", "&lt;"
    )
