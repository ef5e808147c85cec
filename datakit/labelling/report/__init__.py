"""``labels.html``: one file without scripts that needs nothing else; no row's text is in it."""

from __future__ import annotations

from datakit.labelling.report.page import labels_page

__all__ = ["labels_page"]
