"""Personal data: found by our patterns or Presidio's and by a model for names, replaced so that no value remains.

Nothing here opens a connection. Names, places and organisations need an engine; without one they are not looked for.
"""

from __future__ import annotations

from datakit.pii.audit import AuditResult, audit
from datakit.pii.finder import scan
from datakit.pii.replace import redact
from datakit.pii.span import Span

__all__ = ["AuditResult", "Span", "audit", "redact", "scan"]
