"""Conversations as files have them, made into our messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from datakit.sources.rows import BadRow

__all__ = ["Unusable", "choices", "conversation", "turns"]

_ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "tool": "tool",
}

Turns = list[dict[str, str]]


class Unusable(Exception):
    """A value that cannot be used."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.bad = BadRow(reason, message)


def turns(value: Any, column: str, *, role: str) -> Turns:
    """A text (one turn of ``role``), a turn, or a list of turns, in role/content or from/value form.

    Raises:
        Unusable: Missing, of another shape, or with an unknown role.
    """
    if value is None or value == "" or value == []:
        raise Unusable("missing_value", f"no value in column '{column}'")
    if isinstance(value, str) and role == "conversation":
        value = _from_json(value, column)
    if isinstance(value, str):
        if value.isspace():
            raise Unusable("missing_value", f"only spaces in column '{column}'")
        return [{"role": role, "content": value}]
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list):
        raise Unusable("wrong_type", f"column '{column}' holds a {type(value).__name__}, not text or turns")
    found = [_turn(item, column) for item in value]
    return [turn for turn in found if turn["role"] != "system" or turn["content"]]


def _from_json(value: str, column: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        raise Unusable(
            "wrong_type", f"column '{column}' holds text, not a list of turns with role and content"
        ) from None


def _turn(item: Any, column: str) -> dict[str, str]:
    if not isinstance(item, Mapping):
        raise Unusable("wrong_type", f"a turn in column '{column}' is no object with role and content")
    role, content = item.get("role", item.get("from")), item.get("content", item.get("value"))
    known = _ROLES.get(role) if isinstance(role, str) else None
    if known is None:
        raise Unusable("wrong_type", f"role '{role}' in column '{column}'; known: {', '.join(_ROLES)}")
    if not isinstance(content, str):
        raise Unusable("wrong_type", f"a turn's content in column '{column}' is no text")
    if known != "system" and (not content or content.isspace()):
        raise Unusable("missing_value", f"an empty turn in column '{column}'")
    return {"role": known, "content": content}


def conversation(value: Mapping[str, Any], columns: Mapping[str, str]) -> tuple[Turns | None, Turns | None]:
    """Messages and the worse answer of a row.

    Args:
        value: Our name to the row's value.
        columns: Our name to the file's, for messages to people.
    """
    head: Turns = []
    if columns.get("system") and value.get("system"):
        head += turns(value["system"], columns["system"], role="system")
    if "prompt" in columns:
        head += turns(value["prompt"], columns["prompt"], role="user")
    messages: Turns | None = None
    if "messages" in columns:
        messages = turns(value["messages"], columns["messages"], role="conversation")
    for name in ("answer", "chosen"):
        if messages is None and name in columns:
            messages = _joined(head, _answer(value[name], columns[name], head))
    rejected: Turns | None = None
    if "rejected" in columns and messages is not None:
        rejected = _joined(head, _answer(value["rejected"], columns["rejected"], messages))
        same = 0
        while same < len(rejected) - 1 and same < len(messages) and rejected[same] == messages[same]:
            same += 1
        rejected = rejected[same:]
    return messages, rejected


def _answer(value: Any, column: str, before: Turns) -> Turns:
    if isinstance(value, str) and not before:
        raise Unusable("wrong_type", f"column '{column}' holds text, so the prompt must be a column too")
    return turns(value, column, role="assistant")


def _joined(head: Turns, tail: Turns) -> Turns:
    """The tail may repeat the prompt, as preference data often does."""
    return tail if tail[: len(head)] == head else [*head, *tail]


def choices(value: Any, column: str) -> list[str] | None:
    """Answer options: a list of texts, or such a list as JSON."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        value = _from_json(value, column)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Unusable("wrong_type", f"column '{column}' is no list of texts")
    return value
