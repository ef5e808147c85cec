"""From answered questions to labels: votes, one label per row, what people said, what is kept, and how good it is."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from datakit.core.errors import SourceError, StepError
from datakit.core.registry import suggest
from datakit.labelling.aggregate import Method, aggregate, confidence_from
from datakit.labelling.assemble import assemble
from datakit.labelling.calibrate import Method as Calibration
from datakit.labelling.corrections import Correction
from datakit.labelling.inputs import gold_value
from datakit.labelling.labeller import Labeller
from datakit.labelling.measure import calibrate_results, measure
from datakit.labelling.plan import Plan

__all__ = ["Below", "Decision", "Labelled", "decide", "finish", "has_label", "read_gold"]

Below = Literal["drop", "review", "keep"]

_REASONS = {"empty": "empty_input", "failed": "refused_request", "outside": "outside_options", "ok": ""}


@dataclass(frozen=True, slots=True)
class Labelled:
    """What labelling gives.

    Attributes:
        votes: Of ``VOTES_SCHEMA``.
        results: Of ``RESULT_SCHEMA``, one row per example.
        facts: Counts and measures, as JSON can hold them; no text of a row.
    """

    votes: pa.Table
    results: pa.Table
    facts: dict[str, Any]


def finish(
    plan: Plan,
    *,
    method: Method = "majority",
    calibrate: Calibration = "auto",
    gold: Mapping[str, str] | None = None,
    corrections: Mapping[str, Correction] | None = None,
    existing: Sequence[str | None] | None = None,
    seed: int = 0,
) -> Labelled:
    """Turns an answered plan into labels.

    Args:
        plan: After :func:`datakit.labelling.run.execute`.
        method: How votes become a label.
        calibrate: How confidences are calibrated on the gold sample.
        gold: Example id to what people said, in the form of votes.
        corrections: What people said in review; those of the random sample are gold too.
        existing: Labels that were there before, to be checked.
        seed: Of bootstrap and folds.
    """
    votes = assemble(plan)
    results = aggregate(votes, plan.labeller, plan.ids, method=method)
    said = dict(corrections or {})
    sample = {id: str(one.value) for id, one in said.items() if one.purpose == "sample"}
    truth = {**(gold or {}), **sample}
    columns = {
        "gold": [truth.get(id) for id in plan.ids],
        "correction": [str(said[id].value) if id in said and id not in truth else None for id in plan.ids],
    }
    for name, values in columns.items():
        results = results.set_column(results.column_names.index(name), name, pa.array(values, pa.string()))
    results, calibration = calibrate_results(results, method=calibrate, seed=seed)
    facts = measure(votes, results, plan.labeller, calibration=calibration, existing=existing, seed=seed)
    facts["confidence_from"] = confidence_from(votes, method=method)
    return Labelled(votes, results, facts)


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a row.

    Attributes:
        label: In the form of votes; None where it has none.
        confidence: 1 where a person said it.
        dropped: The reason, a slug; None where the row goes on.
        held_out: It is of the gold sample, and must not be trained on.
    """

    label: str | None
    confidence: float | None
    dropped: str | None = None
    held_out: bool = False


def decide(row: Mapping[str, Any], *, min_confidence: float | None, below: Below) -> Decision:
    """What becomes of a row of the results table."""
    if row["gold"] is not None:
        return Decision(row["gold"], 1.0, held_out=True)
    if row["correction"] is not None:
        return Decision(row["correction"], 1.0)
    reason = _REASONS.get(row["status"], row["status"])
    if not reason and row["label"] == "tie":
        reason = "tie"
    elif not reason and min_confidence is not None and row["confidence"] < min_confidence:
        reason = "low_confidence"
    if not reason or (below == "keep" and reason == "low_confidence"):
        return Decision(row["label"], row["confidence"])
    in_doubt = below == "review" and reason != "empty_input"
    return Decision(row["label"], row["confidence"], "in_review" if in_doubt else reason)


def has_label(labeller: Labeller, row: Mapping[str, Any]) -> bool:
    """Whether a row has already what the labeller would give it."""
    if labeller.kind in ("classify", "rating"):
        return row["label"] is not None
    if labeller.kind in ("multilabel", "spans"):
        return labeller.name in (json.loads(row["fields"]) if row["fields"] else {})
    if labeller.kind == "answer":
        return bool(row["messages"]) and row["messages"][-1]["role"] == "assistant"
    return False


def read_gold(
    table: pa.Table, labeller: Labeller, gold: str, *, folder: Path, names: Mapping[str, str]
) -> dict[str, str]:
    """What people said: a column of the data, or a CSV file with the columns ``id`` and ``human``.

    Args:
        table: The rows.
        labeller: Whose options they are.
        gold: Name of the column, or a path that ends in .csv.
        folder: Of the recipe.
        names: The file's name of a column to ours, where the recipe maps one.

    Returns:
        Example id to the value, in the form of votes; rows that nobody labelled are not in it.

    Raises:
        StepError: No such column, or a value that is none of the options; with the row.
        SourceError: A file that is no such CSV.
    """
    if gold.endswith(".csv"):
        pairs = _gold_file(folder / gold, set(table["id"].to_pylist()))
    else:
        pairs = _gold_column(table, names.get(gold, gold))
    texts = dict(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))
    found = {}
    for id, value, where in pairs:
        try:
            judged = gold_value(labeller, value, texts.get(id))
        except ValueError as error:
            hint = f"Those are the options of '{labeller.name}'; leave the cell empty where nobody knows"
            raise StepError(f"gold: {error}", where=where, hint=hint) from None
        if judged is not None:
            found[id] = judged
    return found


def _gold_file(path: Path, known: set[str]) -> list[tuple[str, Any, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"the gold file cannot be read ({error})", where=path) from None
    reader = csv.DictReader(text.splitlines(keepends=True))
    if not {"id", "human"} <= set(reader.fieldnames or ()):
        raise SourceError(
            f"a gold file has the columns 'id' and 'human', not {', '.join(reader.fieldnames or ()) or 'none'}",
            where=path,
            hint="Begin with: datakit review RUN --export labels.csv",
        )
    return [(row["id"], row["human"], f"{path}:{line}") for line, row in enumerate(reader, 2) if row["id"] in known]


def _gold_column(table: pa.Table, column: str) -> list[tuple[str, Any, str]]:
    ids, origins = table["id"].to_pylist(), table["origin"].to_pylist()
    if column == "label":
        values: list[Any] = table["label"].to_pylist()
    else:
        fields = [json.loads(text) if text else {} for text in table["fields"].to_pylist()]
        known = {name for row in fields for name in row}
        if column not in known:
            raise StepError(f"gold: no column '{column}' in the rows", hint=suggest(column, sorted({"label", *known})))
        values = [row.get(column) for row in fields]
    return list(zip(ids, values, origins, strict=True))
