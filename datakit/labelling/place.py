"""Where a label goes in a row: the label column, a field, the answer of a conversation, or which answer is better."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from datakit.core.example import MESSAGES, SCHEMA
from datakit.labelling.job import Decision
from datakit.labelling.labeller import Labeller

__all__ = ["filled", "place"]

_COLUMNS = ("id", "text", "messages", "rejected", "label", "fields")


def filled(labeller: Labeller) -> str:
    """Where a labeller's answer goes, in words."""
    if labeller.kind in ("classify", "rating"):
        return "the label column"
    if labeller.kind in ("multilabel", "spans"):
        return f"the field '{labeller.name}'"
    return "the last assistant turn" if labeller.kind == "answer" else "which of two answers is the better one"


def place(table: pa.Table, labeller: Labeller, decisions: Mapping[str, Decision]) -> pa.Table:
    """The table with the decided labels in their places; rows without one are as they were.

    ``classify`` and ``rating`` fill ``label``; ``multilabel`` and ``spans`` a field with the labeller's name;
    ``answer`` the last assistant turn; ``preference`` puts the better answer into ``messages`` and the worse one into
    ``rejected``.
    """
    rows = table.select(_COLUMNS).to_pylist()
    for row in rows:
        made = decisions.get(row["id"])
        if made is not None and made.label is not None:
            _put(row, labeller, made.label)
    for name in ("messages", "rejected", "label", "fields"):
        kind = MESSAGES if name in ("messages", "rejected") else SCHEMA.field(name).type
        column = pa.array([row[name] for row in rows], kind)
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _put(row: dict[str, Any], labeller: Labeller, value: str) -> None:
    if labeller.kind in ("classify", "rating"):
        row["label"] = value
    elif labeller.kind == "preference":
        if value == "b":
            row["messages"], row["rejected"] = row["rejected"], row["messages"]
    elif labeller.kind == "answer":
        turns = [turn for turn in row["messages"] or [{"role": "user", "content": row["text"]}]]
        if turns and turns[-1]["role"] == "assistant":
            turns.pop()
        row["messages"] = [*turns, {"role": "assistant", "content": value}]
    else:
        fields = json.loads(row["fields"]) if row["fields"] else {}
        parts = json.loads(value)
        if labeller.kind == "spans":
            parts = [{"start": start, "end": end, "label": name} for start, end, name in parts]
        fields[labeller.name] = parts
        row["fields"] = json.dumps(fields, ensure_ascii=False, sort_keys=True)
