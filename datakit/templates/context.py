"""What a template sees of a row: the file's other columns, and every mapped column under our name and the file's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from datakit.core.errors import TemplateError
from datakit.core.step import StepContext
from datakit.templates.template import Template

__all__ = ["row_values", "values_for"]

_COLUMNS = ("text", "label", "choices")


def row_values(row: Mapping[str, Any]) -> dict[str, Any]:
    """Our columns of a table's row by our names, without those that it does not have, and its other columns.

    Only values of the table are used: what an earlier step replaced stays replaced.
    """
    values: dict[str, Any] = json.loads(row["fields"]) if row["fields"] else {}
    for name in _COLUMNS:
        if row[name] is not None:
            values[name] = row[name]
    turns = row["messages"]
    if turns:
        values["messages"] = turns
        users = [turn["content"] for turn in turns if turn["role"] == "user"]
        if users:
            values["prompt"] = users[-1]
        if turns[-1]["role"] == "assistant":
            values["answer"] = turns[-1]["content"]
    if row.get("rejected"):
        values["rejected"] = row["rejected"][-1]["content"]
        if "answer" in values:
            values["chosen"] = values["answer"]
    return values


def values_for(template: Template, row: Mapping[str, Any], values: Mapping[str, Any], context: StepContext) -> Any:
    """The values as one template wants them.

    A template of our format gets the label's name and ``labels``, all names. A template of promptsource's format gets
    the label's number where it computes with it, as the dataset it was written for has it.

    Raises:
        TemplateError: A number is needed and the source's labels have none.
    """
    columns = context.columns.get(row["source"], {})
    names = context.labels.get(row["source"], ())
    made = dict(values)
    if template.format == "promptsource":
        label = values.get("label")
        spellings = {"label", columns.get("label", "label")}
        wanted = spellings & set(template.facts().integers)
        if label is not None and wanted:
            made |= dict.fromkeys(wanted, _number(label, names, template, row))
    elif names:
        made.setdefault("labels", list(names))
    for ours, theirs in columns.items():
        if ours in _COLUMNS:
            made.setdefault(ours, None)  # there, and null in this row
        if ours in made:
            made.setdefault(theirs, made[ours])
    return made


def _number(label: str, names: tuple[str, ...], template: Template, row: Mapping[str, Any]) -> int:
    if label in names:
        return names.index(label)
    if not names and label.lstrip("-").isdecimal():
        return int(label)
    raise TemplateError(
        f"template '{template.name}' needs the label's number, and the source '{row['source']}' has no label '{label}'",
        where=row["origin"],
        hint="List the names in their order under labels: {column: ..., names: [...]}",
    )
