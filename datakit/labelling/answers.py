"""From what a model wrote to a vote: read, matched with the options, and marked where it cannot be used."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datakit.labelling.labeller import Labeller, fold
from datakit.labelling.repair import read_json_answer

__all__ = ["KEYS", "Judged", "judge", "read_answer", "whole_text"]

#: The key of an answer's JSON by kind; preference says ``A``, ``B`` or ``tie`` there.
KEYS = {
    "classify": "label",
    "multilabel": "labels",
    "spans": "spans",
    "answer": "answer",
    "preference": "better",
    "rating": "rating",
}

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A vote.

    Attributes:
        status: One of ``STATUSES``.
        value: What votes are compared by; None unless the status is ``ok``.
        answer: As JSON can hold it, with personal data put back.
    """

    status: str
    value: str | None = None
    answer: Any = None


def read_answer(
    labeller: Labeller,
    content: str | None,
    *,
    source: str | None = None,
    put_back: Mapping[str, str] | None = None,
    flip: bool = False,
    refused: bool = False,
) -> Judged:
    """A model's text as a vote.

    Args:
        labeller: Says what may be answered.
        content: What the model wrote.
        source: The row's own text, in which spans are looked for.
        put_back: Placeholder to the personal data it stood for.
        flip: The two answers of a preference were shown in the other order.
        refused: The server says that the model refused.
    """
    if refused:
        return Judged("refused")
    text = (content or "").strip()
    value, whole = read_json_answer(text)
    if value is None:
        value = _bare(labeller, text)
    else:
        value = _unwrapped(labeller, value) if isinstance(value, dict) else value
        if not whole and not _sure(labeller, value):
            value = None
    if value is None:
        return Judged("refused" if _sounds_like_refusal(text) else "unreadable")
    value = whole_text(value)
    if put_back:
        value = _restored(value, put_back)
    judged = judge(labeller, value, source)
    if flip and judged.value in ("a", "b"):
        other = "b" if judged.value == "a" else "a"
        return Judged("ok", other, other)
    return judged


def _unwrapped(labeller: Labeller, value: dict[str, Any]) -> Any:
    """The part of the object that answers; a single value under another key is taken for it."""
    key = KEYS[labeller.kind]
    if labeller.output is not None:
        return value
    for name, inner in value.items():
        if fold(str(name)) == key:
            return inner
    if labeller.kind == "spans" and {"text", "label"} <= value.keys():
        return [value]
    return next(iter(value.values())) if len(value) == 1 else None


def _sure(labeller: Labeller, value: Any) -> bool:
    """Whether an answer that was cut off is complete all the same: an option that begins no other one."""
    if labeller.kind not in ("classify", "preference", "rating"):
        return False
    begun = fold(str(value))
    return sum(fold(name).startswith(begun) for name in labeller.votes) == 1 and begun in map(fold, labeller.votes)


def _bare(labeller: Labeller, text: str) -> Any:
    """An answer without JSON: the option alone, or for a free answer the text."""
    if not text or labeller.output is not None or labeller.kind in ("multilabel", "spans"):
        return None
    if labeller.kind == "answer":
        return None if text[0] in "{[" else text
    line = text.splitlines()[0].strip(" \t\"'`*.。")
    line = re.sub(r"^(?:label|answer|rating|better|라벨|답|대답|점수)\s*[:=]\s*", "", line, flags=re.IGNORECASE)
    line = line.strip(" \t\"'`*.。")
    if fold(line) in {fold(vote) for vote in labeller.votes}:
        return line
    if text[0] in "{[":
        return None
    return line if len(line.split()) <= 6 and not _sounds_like_refusal(text) else None


_REFUSAL = re.compile(
    r"^(?:i['’]?m (?:sorry|unable)|i am (?:sorry|unable)|sorry,|i can(?:['’]t|not)|i (?:won['’]t|will not)|as an ai\b|"
    r"죄송|도와드릴 수 없|답변(?:드릴|할) 수 없)",
    re.IGNORECASE,
)


def _sounds_like_refusal(text: str) -> bool:
    return _REFUSAL.match(text) is not None


_HALF = re.compile("[\ud800-\udfff]")


def whole_text(value: Any) -> Any:
    """A value of JSON in which no half of a surrogate pair stands alone: no file could hold it."""
    if isinstance(value, str):
        return _HALF.sub("\ufffd", value)
    if isinstance(value, list):
        return [whole_text(item) for item in value]
    if isinstance(value, dict):
        return {whole_text(key): whole_text(item) for key, item in value.items()}
    return value


def _restored(value: Any, put_back: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for placeholder, original in put_back.items():
            value = value.replace(placeholder, original)
        return value
    if isinstance(value, list):
        return [_restored(item, put_back) for item in value]
    if isinstance(value, dict):
        return {_restored(key, put_back): _restored(item, put_back) for key, item in value.items()}
    return value


def judge(labeller: Labeller, value: Any, source: str | None) -> Judged:
    """An answer in the labeller's form as a vote.

    Args:
        labeller: Says what may be answered.
        value: Of the kind: an option, a list of them, spans, a text or object, ``a`` or ``b``.
        source: The text in which spans are looked for; None where they have offsets.
    """
    if labeller.kind == "answer":
        return _free(labeller, value)
    if labeller.kind == "multilabel":
        return _several(labeller, value)
    if labeller.kind == "spans":
        return _spans(labeller, value, source)
    name = _option(labeller.votes, value)
    if name is None:
        return Judged("outside" if isinstance(value, (str, int, float)) else "unreadable")
    return Judged("ok", name, int(name) if labeller.kind == "rating" else name)


def _option(names: Iterable[str], value: Any) -> str | None:
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, (str, int)):
        return None
    wanted = fold(str(value))
    return next((name for name in names if fold(name) == wanted), None)


def _free(labeller: Labeller, value: Any) -> Judged:
    if labeller.output is None:
        if not isinstance(value, str):
            return Judged("unreadable")
        return Judged("ok", value.strip(), value.strip()) if value.strip() else Judged("unreadable")
    if not isinstance(value, dict) or not _fits(labeller.output, value):
        return Judged("unreadable")
    return Judged("ok", json.dumps(value, ensure_ascii=False, sort_keys=True), value)


def _fits(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether a value fits the parts of JSON schema that say what is there: type, enum, required, items."""
    types = schema.get("type")
    names = [types] if isinstance(types, str) else list(types or ())
    if names and not any(_is(value, name) for name in names):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, dict):
        inner = schema.get("properties", {})
        required = all(key in value for key in schema.get("required", ()))
        return required and all(_fits(inner[key], item) for key, item in value.items() if key in inner)
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        return all(_fits(schema["items"], item) for item in value)
    return True


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES.get(name, (object,)))


def _several(labeller: Labeller, value: Any) -> Judged:
    if isinstance(value, str):
        value = [part for part in re.split(r"\s*[,;|]\s*", value) if part]
    if not isinstance(value, list):
        return Judged("unreadable")
    chosen = [_option(labeller.names, item) for item in value]
    if None in chosen:
        return Judged("outside")
    names = [name for name in labeller.names if name in chosen]
    return Judged("ok", json.dumps(names, ensure_ascii=False), names)


def _spans(labeller: Labeller, value: Any, source: str | None) -> Judged:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return Judged("unreadable")
    found: list[tuple[int, int, str]] = []
    for item in value:
        name = _option(labeller.names, item.get("label"))
        place = _place(item, source, found)
        if name is None or place is None:
            return Judged("outside")  # quoted what does not stand in the text, or under no option
        found.append((*place, name))
    found = sorted(set(found))
    spans = [_span(start, end, name, source) for start, end, name in found]
    compared = json.dumps([list(item) for item in found], ensure_ascii=False)
    return Judged("ok", compared, spans)


def _span(start: int, end: int, name: str, source: str | None) -> dict[str, Any]:
    quoted = {} if source is None else {"text": source[start:end]}
    return {"start": start, "end": end, "label": name, **quoted}


def _place(
    item: Mapping[str, Any], source: str | None, taken: Sequence[tuple[int, int, str]]
) -> tuple[int, int] | None:
    start, end, quoted = item.get("start"), item.get("end"), item.get("text")
    if isinstance(start, int) and isinstance(end, int) and 0 <= start < end:
        fits = source is None or (end <= len(source) and quoted in (None, source[start:end]))
        if fits:
            return start, end
    if not isinstance(quoted, str) or not quoted or source is None:
        return None
    at = source.find(quoted)
    while at >= 0:  # the same words twice are the first and the second occurrence
        place = (at, at + len(quoted))
        if place not in {(start, end) for start, end, _ in taken}:
            return place
        at = source.find(quoted, at + 1)
    return None
