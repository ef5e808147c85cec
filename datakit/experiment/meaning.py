"""What the columns of a file seem to mean: input and answer, labels, language, groups, personal data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from datakit.core.errors import SourceError
from datakit.experiment.columns import Column, is_label
from datakit.experiment.look import Sight
from datakit.sources.names import ANSWER_NAMES, LABEL_NAMES, MESSAGES_NAMES, PROMPT_NAMES, TEXT_NAMES

__all__ = ["Meaning", "Shape", "language", "meaning", "personal"]

Shape = Literal["chat", "preference", "answers", "instructions", "entailment", "pairs", "labels", "text"]

_PAIRS = (("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"), ("text1", "text2"))
_GROUP = re.compile(r"^(customer|user|author|speaker|session|thread|conversation|dialog|doc|account|patient|group)")
_MIN_GROUPS = 10
_ID = re.compile(r"(^|_)(id|guid|uuid|key|index)$|^(id|guid|uuid)(_|$)")
_SPLIT = {"train", "validation", "valid", "dev", "test"}

_PERSONAL = {
    "e-mail": re.compile(r"[\w.+-]+@[\w-]+\.[A-Za-z]{2,}"),
    "phone": re.compile(r"(?<![\w.])(?:\+?\d{1,3}[ .-]?)?(?:\(\d{2,4}\)|\d{2,5})(?:[ .-]?\d{2,5}){2,3}(?![\w.])"),
    "resident number": re.compile(r"(?<!\d)\d{6}-[1-8]\d{6}(?!\d)"),
    "card": re.compile(r"(?<!\d)(?:\d{4}[ -]){3}\d{4}(?!\d)"),
}
_MIN_PHONE = 9


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the file seems to be for.

    Attributes:
        shape: What a row is.
        columns: Our name to the file's, where the recipe must say it.
        label: The file's label column.
        labels: Label names, sorted; digits for integers.
        language: ``en`` or ``ko``, by script.
        id: A column with a different value in every row.
        group: A column whose equal values should stay on one side of the split.
        split: A column that names each row's split.
        personal: Kind of personal data to the number of rows with it.
        main: The columns a person would read, in order.
    """

    shape: Shape
    columns: Mapping[str, str]
    label: str | None
    labels: tuple[str, ...]
    language: str
    id: str | None
    group: str | None
    split: str | None
    personal: Mapping[str, int]
    main: tuple[str, ...]


def meaning(sight: Sight, *, said: Mapping[str, str] | None = None) -> Meaning:
    """Judges the columns by their names and values.

    Args:
        sight: From :func:`~datakit.experiment.look.look`.
        said: Our name to the file's, from a person who knows.

    Raises:
        SourceError: A column in ``said`` is not there, or no input and answer can be told.
    """
    said = dict(said or {})
    for theirs in said.values():
        if theirs not in {column.name for column in sight.columns}:
            known = ", ".join(column.name for column in sight.columns)
            raise SourceError(f"no column '{theirs}'", where=sight.path, hint=f"Columns: {known}")
    shape, columns, main = _shape(sight, said)
    used = {*columns.values(), *main}
    label = columns.pop("label", None)
    others = [column for column in sight.columns if column.name not in used]
    names = sorted(value for value, _ in sight.column(label).values) if label else []
    if all(name.isdecimal() for name in names):
        names.sort(key=int)
    return Meaning(
        shape=shape,
        columns=columns,
        label=label,
        labels=tuple(names),
        language=language(text for name in main for text in sight.texts(name)),
        id=next((column.name for column in others if _is_id(column, len(sight.rows))), None),
        group=next((column.name for column in others if _is_group(column)), None),
        split=next((column.name for column in others if _names_splits(column)), None),
        personal=personal(sight.rows),
        main=main,
    )


def _shape(sight: Sight, said: Mapping[str, str]) -> tuple[Shape, dict[str, str], tuple[str, ...]]:
    """The shape, our names for the file's columns, and the columns that hold what is read."""
    by_name = {column.name.lower(): column for column in sight.columns}

    def named(names: Iterable[str], *kinds: str, ours: str = "") -> str | None:
        if ours in said:
            return said[ours]
        found = (by_name[name] for name in names if name in by_name)
        return next((column.name for column in found if column.kind in kinds), None)

    chosen = named(["chosen"], "text", "list", "object", ours="chosen")
    rejected = named(["rejected"], "text", "list", "object", ours="rejected")
    talk = named(MESSAGES_NAMES, "list", ours="messages")
    prompt = named(PROMPT_NAMES, "text", ours="prompt")
    answer = named(("output",) if prompt == "instruction" else ANSWER_NAMES, "text", "number", ours="answer")
    answer = answer or named(ANSWER_NAMES, "text", "number")
    if chosen and rejected:
        before = prompt or talk
        columns = {"chosen": chosen, "rejected": rejected}
        return "preference", {"prompt": before, **columns} if before else columns, (before or chosen, chosen)
    if talk and _are_turns(sight, talk) and not {"prompt", "text"} & set(said):
        return "chat", {"messages": talk}, (talk,)
    extra = by_name.get("input")
    if prompt and answer and extra and extra.filled and extra.name not in (prompt, answer):
        return "instructions", {}, (prompt, extra.name, answer)
    if prompt and answer and "text" not in said:
        return "answers", {"prompt": prompt, "answer": answer}, (prompt, answer)
    label = _label(sight, said)
    pair = next((pair for pair in _PAIRS if set(pair) <= set(by_name)), None)
    if label and pair and "text" not in said:
        first, second = by_name[pair[0]].name, by_name[pair[1]].name
        fits = (first, second) == _PAIRS[0]
        return "entailment" if fits else "pairs", {"label": label}, (first, second)
    text = named(TEXT_NAMES, "text", ours="text") or _only_text(sight, label)
    if text and label:
        return "labels", {"text": text, "label": label}, (text,)
    if text and (
        sight.format == "text" or text in said.values() or len(_texts(sight)) == 1 or text.lower() in TEXT_NAMES
    ):
        return "text", {"text": text}, (text,)
    known = ", ".join(f"{column.name} ({column.kind})" for column in sight.columns)
    raise SourceError(
        f"cannot tell which columns are input and answer: {known}",
        where=sight.path,
        hint="Say it: --column prompt=NAME --column answer=NAME, or --column text=NAME --column label=NAME",
    )


def _texts(sight: Sight) -> list[Column]:
    return [column for column in sight.columns if column.kind == "text"]


def _only_text(sight: Sight, label: str | None) -> str | None:
    """The text column, where there is one besides label, ids and the like; two are a pair and no text."""
    found = [
        column
        for column in _texts(sight)
        if column.name != label and not is_label(column) and not _is_id(column, len(sight.rows))
    ]
    return found[0].name if len(found) == 1 else None


def _label(sight: Sight, said: Mapping[str, str]) -> str | None:
    if "label" in said:
        return said["label"]
    candidates = [column for column in sight.columns if is_label(column) and not _names_splits(column)]
    named = {column.name.lower(): column.name for column in candidates}
    if found := next((named[name] for name in LABEL_NAMES if name in named), None):
        return found
    rest = [column.name for column in candidates if not _is_group(column) and not _ID.search(column.name.lower())]
    return rest[0] if len(rest) == 1 else None


def _are_turns(sight: Sight, name: str) -> bool:
    turns = next((value for row in sight.rows if (value := row.get(name))), None)
    first = turns[0] if isinstance(turns, list) and turns else None
    return isinstance(first, dict) and bool({"role", "from"} & set(first))


def _is_id(column: Column, rows: int) -> bool:
    return column.distinct == rows > 1 and _ID.search(column.name.lower()) is not None


def _is_group(column: Column) -> bool:
    repeats = _MIN_GROUPS <= column.distinct < column.filled
    return repeats and column.kind in ("text", "number") and _GROUP.match(column.name.lower()) is not None


def _names_splits(column: Column) -> bool:
    values = {value.lower() for value, _ in column.values}
    return len(values) > 1 and values <= _SPLIT


def language(texts: Iterable[str]) -> str:
    """``ko`` where three of ten letters or more are Hangul, else ``en``: the languages our templates are written in."""
    hangul = letters = 0
    for text in texts:
        counts = Counter("가" <= character <= "힣" for character in text if character.isalpha())
        hangul, letters = hangul + counts[True], letters + counts.total()
        if letters > 100_000:
            break
    return "ko" if letters and hangul / letters > 0.3 else "en"


def personal(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Kind of personal data to the number of rows where a cheap pattern finds it: a hint, never an assurance."""
    found: Counter[str] = Counter()
    for row in rows:
        text = "\n".join(_strings(row))
        if "@" not in text and not re.search(r"\d{2}", text):
            continue
        for kind, pattern in _PERSONAL.items():
            hits = (match[0] for match in pattern.finditer(text))
            if any(kind != "phone" or sum(map(str.isdigit, hit)) >= _MIN_PHONE for hit in hits):
                found[kind] += 1
    return {kind: found[kind] for kind in _PERSONAL if found[kind]}


def _strings(value: Any) -> list[str]:
    """All texts inside a value, however deep."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return []
