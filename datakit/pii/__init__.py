"""Personal data by pattern: found by Presidio's recognisers and our own, replaced so that no original value remains.

Nothing here opens a connection. Names, places and organisations need an engine and are not looked for.
"""

from __future__ import annotations

from datakit.pii.detect import scan
from datakit.pii.replace import redact
from datakit.pii.span import Span

__all__ = ["Span", "redact", "scan"]
