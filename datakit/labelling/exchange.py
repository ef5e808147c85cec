"""``labels.csv`` out and in: the same as the review page, for people with a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datakit.core.errors import SourceError
from datakit.core.storage import write_text
from datakit.labelling.corrections import Corrections, Purpose
from datakit.labelling.folder import Kept
from datakit.labelling.inputs import gold_value

__all__ = ["COLUMNS", "export_labels", "import_labels"]

COLUMNS = ("id", "origin", "text", "label", "confidence", "agreement", "status", "human", "who", "purpose")


def export_labels(kept: Kept, corrections: Corrections, order: Sequence[tuple[int, Purpose]], path: Path) -> int:
    """Writes rows for people to fill in: the column ``human`` is theirs.

    Args:
        kept: What was labelled.
        corrections: What people said already; it stands in ``human`` and ``who``.
        order: Rows and why they are shown, from :func:`datakit.labelling.queue.queue`.
        path: The file; UTF-8 with a mark, as spreadsheets want it.

    Returns:
        Rows written.
    """
    standing = corrections.latest()
    results, items = kept.results.to_pylist(), kept.items.to_pylist()
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    free = kept.labeller.kind == "answer"  # options and JSON are no formula, and a rating may begin with a minus
    for at, purpose in order:
        row, item = results[at], items[at]
        said = standing.get(row["example_id"])
        writer.writerow(
            [
                *(row["example_id"], _cell(item["origin"]), _cell(item["text"])),
                _cell(row["label"]) if free else row["label"],
                *(_short(row["confidence"]), _short(row["agreement"]), row["status"]),
                _cell(said.value if said else row["gold"]) if free else said.value if said else row["gold"],
                _cell(said.who) if said else None,
                said.purpose if said else purpose,
            ]
        )
    write_text(path, "\ufeff" + out.getvalue(), private=True)
    return len(order)


def _cell(text: str | None) -> str | None:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text and re.match(r"[=+\-@\t\r]", text) else text


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def import_labels(kept: Kept, corrections: Corrections, path: Path, *, who: str) -> int:
    """Reads what people filled in; a file is taken as a whole or not at all.

    Args:
        kept: What was labelled.
        corrections: Takes them.
        path: As :func:`export_labels` wrote it; only ``id`` and ``human`` must be there.
        who: For rows that do not say who.

    Returns:
        Rows with a new word; those that stand so already are not noted again.

    Raises:
        SourceError: No such file or columns, an id that was not labelled, or a value that is none of the options.
    """
    known = dict(zip(kept.results["example_id"].to_pylist(), kept.results["gold"].to_pylist(), strict=True))
    texts = dict(zip(kept.items["example_id"].to_pylist(), kept.items["plain"].to_pylist(), strict=True))
    standing = corrections.latest()
    new: list[tuple[str, str, Purpose, str]] = []
    for line, row in _rows(path):
        where = f"{path}:{line}"
        if not (row.get("human") or "").strip():
            continue
        if row["id"] not in known:
            raise SourceError(f"no row '{row['id']}' was labelled in this run", where=where)
        cell = re.sub(r"\A'(?=[=+\-@\t\r])", "", row["human"])  # as _cell wrote it
        try:
            value = gold_value(kept.labeller, cell, texts[row["id"]])
        except ValueError as error:
            raise SourceError(str(error), where=where, hint="Nothing of this file was taken") from None
        said = standing.get(row["id"])
        purpose: Purpose = "sample" if (row.get("purpose") or "").strip() == "sample" else "queue"
        if said is None and known[row["id"]] == value:
            continue  # the gold that was there already
        if value is not None and (said is None or (said.value, said.purpose) != (value, purpose)):
            new.append((row["id"], value, purpose, (row.get("who") or "").strip() or who))
    for id, value, purpose, name in new:
        corrections.add(id, value, purpose=purpose, who=name)
    return len(new)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SourceError(error.strerror or str(error), where=path) from None
    except UnicodeDecodeError as error:
        raise SourceError(f"not UTF-8 at byte {error.start}", where=path, hint="Save it as CSV UTF-8") from None
    sample = text.partition("\n")[0]
    mark = ";" if sample.count(";") > sample.count(",") else ","  # some spreadsheets' CSV
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=mark)
    missing = {"id", "human"} - set(reader.fieldnames or ())
    if missing:
        raise SourceError(
            f"no column '{sorted(missing)[0]}'",
            where=path,
            hint="Begin with the file that --export writes, and fill in 'human'",
        )
    for row in reader:
        yield reader.line_num, row
