"""Whether the quotes of a table in text are quoting, or letters of its cells as they are in many files with tabs."""

from __future__ import annotations

import csv
import io

__all__ = ["well_quoted"]


def well_quoted(sample: str, delimiter: str, *, is_cut: bool = False) -> bool:
    """Whether a text is well-formed with quoted cells: no quote strays, and all rows have the same width.

    Args:
        sample: The text, or its beginning.
        delimiter: Between cells.
        is_cut: It ends somewhere; a quote that is open there says nothing.
    """
    widths: list[int] = []
    try:
        widths.extend(
            len(row) for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, strict=True) if row
        )
    except csv.Error as error:
        return is_cut and "unexpected end of data" in str(error) and len(set(widths)) <= 1
    return len(set(widths)) <= 1
