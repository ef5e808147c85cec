"""The report of a run: one HTML file, a Markdown summary for a pull request, JSON, and lines for a terminal."""

from __future__ import annotations

from evalkit.report.formats import write_formats
from evalkit.report.model import ArmResult, ArmSummary, Report, summaries
from evalkit.report.run import from_logs, from_run
from evalkit.report.write import write_report

__all__ = ["ArmResult", "ArmSummary", "Report", "from_logs", "from_run", "summaries", "write_formats", "write_report"]
