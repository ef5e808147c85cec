"""Which columns of a plain file hold the text, the label, the conversation: told by a person or by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from datakit.core.errors import UsageError
from datakit.core.registry import suggest
from datakit.sources.names import ANSWER_NAMES, LABEL_NAMES, MESSAGES_NAMES, PROMPT_NAMES, TEXT_NAMES

__all__ = ["OUR_NAMES", "guess_columns", "is_number", "is_value", "row_for_names", "said_columns"]

OUR_NAMES = (
    *("text", "label", "messages", "system", "prompt", "context", "answer"),
    *("chosen", "rejected", "choices"),
)
_LONGEST_LABEL = 60
_LONGEST_NAME = 40


def said_columns(pairs: Iterable[str]) -> dict[str, str]:
    """``OURS=THEIRS`` as written on a command line.

    Raises:
        UsageError: Of another form, or none of our names.
    """
    said: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not equals or not theirs:
            raise UsageError(f"'{pair}' is not OURS=THEIRS", hint="For example --column text=body")
        if ours not in OUR_NAMES:
            raise UsageError(f"'{ours}' is none of our names", hint=suggest(ours, list(OUR_NAMES)))
        said[ours] = theirs
    return said


def guess_columns(rows: Sequence[Mapping[str, Any]], said: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our name to the file's name; what is not recognised has none.

    Args:
        rows: The first rows.
        said: From a person who knows; nothing else is guessed but the label.

    Raises:
        UsageError: A named column is in no row.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    by_name = {name.lower(): name for name in reversed(names)}
    for theirs in (said or {}).values():
        if names and theirs not in names:
            raise UsageError(f"no column '{theirs}'", hint=suggest(theirs, names))
    found = dict(said or {})
    if not set(found) - {"label", "choices"}:
        found = {**_conversation(rows, by_name), **found}
    if not set(found) - {"label", "choices"} and (text := _text(rows, by_name, names)):
        found["text"] = text
    if "label" not in found:
        taken = set(found.values())
        label = next((by_name[name] for name in LABEL_NAMES if name in by_name and by_name[name] not in taken), None)
        if label is not None and _short(rows, label):
            found["label"] = label
    return found


def _conversation(rows: Sequence[Mapping[str, Any]], by_name: Mapping[str, str]) -> dict[str, str]:
    def first(names: Iterable[str], kinds: type | tuple[type, ...], *, without: Iterable[str] = ()) -> str | None:
        found = (by_name[name] for name in names if name in by_name and by_name[name] not in without)
        return next((name for name in found if _kind(rows, name, kinds)), None)

    prompt = first(PROMPT_NAMES, str)
    talk = first(MESSAGES_NAMES, list)
    if talk is not None and not _turns(rows, talk):
        talk = None
    if "chosen" in by_name and "rejected" in by_name:
        before = prompt or first(("prompt", "question"), list) or talk
        names = {"chosen": by_name["chosen"], "rejected": by_name["rejected"]}
        return names if before is None else {("messages" if before == talk else "prompt"): before, **names}
    if talk is not None:
        return {"messages": talk}
    if prompt is None:
        return {}
    order = ("output", *ANSWER_NAMES) if prompt == "instruction" else ANSWER_NAMES
    answer = first(order, (str, int, float), without=[prompt])
    if answer is None:
        return {}
    found = {"prompt": prompt, "answer": answer}
    for ours, theirs in (("context", ("input", "context")), ("system", ("system", "system_prompt"))):
        column = first(theirs, str, without=found.values())
        if column is not None and (ours != "context" or prompt == by_name.get("instruction")):
            found[ours] = column
    return found


def _text(rows: Sequence[Mapping[str, Any]], by_name: Mapping[str, str], names: Sequence[str]) -> str | None:
    """The text column by its name, else the only one that holds text of some length."""
    named = (by_name[name] for name in TEXT_NAMES if name in by_name)
    found = next((name for name in named if _kind(rows, name, str)), None)
    if found is not None:
        return found
    long = [name for name in names if _kind(rows, name, str) and not _short(rows, name)]
    return long[0] if len(long) == 1 else names[0] if len(names) == 1 and _kind(rows, names[0], str) else None


def _values(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [value for row in rows if (value := row.get(name)) not in (None, "")]


def _kind(rows: Sequence[Mapping[str, Any]], name: str, kinds: type | tuple[type, ...]) -> bool:
    """Whether most values are of these types."""
    values = _values(rows, name)
    return bool(values) and sum(isinstance(value, kinds) for value in values) * 2 > len(values)


def _turns(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    first = next((value[0] for value in _values(rows, name) if isinstance(value, list) and value), None)
    return isinstance(first, Mapping) and bool({"role", "from"} & set(first))


def _short(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Short scalars, as labels are."""
    values = _values(rows, name)
    return bool(values) and all(
        isinstance(value, (str, int, float)) and len(str(value)) <= _LONGEST_LABEL for value in values
    )


def is_number(text: str) -> bool:
    """Whether a text is written as a number."""
    return re.fullmatch(r"\s*[-+]?\d+(?:\.\d+)?\s*", text) is not None


def is_value(cell: str, below: Sequence[str]) -> bool:
    """Whether a cell of the first line is a value as those below it, and no column name."""
    cell = cell.strip()
    if not cell:
        return False  # the index column that pandas writes has an empty name
    numbers = sum(is_number(other) for other in below)
    return len(cell) > _LONGEST_NAME or below.count(cell) > 1 or (is_number(cell) and numbers > len(below) / 2)


def row_for_names(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """A column name that looks like a value: the first line of the table may be a row; None where none does."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return next((name for name in names if is_value(name, [str(row.get(name) or "") for row in rows])), None)
