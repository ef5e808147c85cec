"""LLaMA-Factory's folder: files in its sharegpt form, and ``dataset_info.json`` that says what their columns mean."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from datakit.core.example import Example, Message
from datakit.export.formats import CannotHold, Exported, Kind, earlier_answers, kind_of, label_loss, pair_of
from datakit.export.sharegpt import spoken

__all__ = ["LlamaFactory"]

_FROM = {"user": "human", "assistant": "gpt", "tool": "observation"}
_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
_COLUMNS: Mapping[Kind, dict[str, str]] = {
    "chat": {"messages": "conversations", "system": "system"},
    "preference": {"messages": "conversations", "system": "system", "chosen": "chosen", "rejected": "rejected"},
    "text": {"prompt": "text"},
}
_MASKED = "earlier answers are trained on too unless mask_history is true in the training configuration"


class LlamaFactory:
    """Conversations, pairs (``ranking``) or plain text (for its stage ``pt``)."""

    suffix = ".json"

    def row(self, example: Example) -> Exported:
        """Questions and answers must take turns."""
        kind = kind_of(example)
        if kind == "text":
            return Exported({"text": example.text}, losses=label_loss(example))
        messages = list(example.messages or ())
        system = messages.pop(0).content if messages[0].role == "system" else ""
        _check(messages)
        if kind == "preference":
            _, better, worse = pair_of(example)
            row: dict[str, Any] = {"conversations": spoken(messages[:-1], _FROM), "system": system}
            row |= {"chosen": spoken([better], _FROM)[0], "rejected": spoken([worse], _FROM)[0]}
            return Exported(row)
        notes = (_MASKED,) if earlier_answers(messages) else ()
        return Exported({"conversations": spoken(messages, _FROM), "system": system}, notes=notes)

    def beside(self, files: Mapping[str, str], kind: Kind) -> Mapping[str, str]:
        """``dataset_info.json``; a data set is named after its split."""
        info: dict[str, Any] = {}
        for split, name in files.items():
            one: dict[str, Any] = {"file_name": name, "columns": _COLUMNS[kind]}
            if kind == "preference":
                one["ranking"] = True
            if kind != "text":
                one |= {"formatting": "sharegpt", "tags": _TAGS}
            info[split] = one
        return {"dataset_info.json": json.dumps(info, indent=2) + "\n"}


def _check(messages: Sequence[Message]) -> None:
    for place, turn in enumerate(messages):
        wanted = ("assistant",) if place % 2 else ("user", "tool")
        if turn.role not in wanted:
            raise CannotHold(f"turn {place + 1} is of '{turn.role}'; questions and answers must take turns")
