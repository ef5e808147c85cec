"""A build in a few lines for people."""

from __future__ import annotations

import textwrap
from collections import Counter

from datakit.build import BuildResult

__all__ = ["build_lines"]

WIDTH = 70


def build_lines(built: BuildResult) -> list[str]:
    """Rows read, kept, dropped by reason and changed; splits; what the steps say of themselves.

    Every line fits beside the stage's name in 80 columns.
    """
    read = sum(count.rows_in for count in built.steps if count.name.startswith("source:"))
    dropped: Counter[str] = Counter()
    changed: Counter[str] = Counter()
    for count in built.steps:
        dropped.update(count.dropped)
        changed.update({reason: rows for reason, rows in count.changed.items() if reason != "rendered"})
    created = sum(count.created for count in built.steps)
    kept = read + created - dropped.total()
    first = f"{read:,} rows: kept {kept:,}, dropped {dropped.total():,}, changed {changed.total():,}"
    lines = [first + (f", made {created:,}" if created else "")]
    reasons = [f"{reason.replace('_', ' ')} {rows:,}" for reason, rows in (dropped + changed).most_common()]
    lines += _folded(reasons)
    for_replay = [f"for replay {kept - built.rows:,}"] if kept > built.rows else []
    lines += _folded([f"{name} {rows:,}" for name, rows in built.splits.items()] + for_replay)
    for _, note in built.notes:
        lines += textwrap.wrap(note, WIDTH)
    return lines


def _folded(parts: list[str]) -> list[str]:
    """Parts joined by dots; a part is never broken."""
    whole = " · ".join(part.replace(" ", "\u00a0") for part in parts)
    return [line.replace("\u00a0", " ") for line in textwrap.wrap(whole, WIDTH)]
