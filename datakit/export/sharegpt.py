"""ShareGPT's conversations: from and value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from datakit.core.example import Example, Message
from datakit.export.formats import CannotHold, Exported, Kind, earlier_answers, kind_of

__all__ = ["ALL_TRAINED", "ShareGPT", "spoken"]

_FROM = {"system": "system", "user": "human", "assistant": "gpt", "tool": "tool"}

ALL_TRAINED = "earlier answers are trained on too, where the trainer is not told to mask them"


def spoken(messages: Sequence[Message], names: Mapping[str, str] = _FROM) -> list[dict[str, str]]:
    """Turns as objects with from and value."""
    return [{"from": names[turn.role], "value": turn.content} for turn in messages]


class ShareGPT:
    """``{"conversations": [{"from": "human", "value": ...}, ...]}``."""

    suffix = ".json"

    def row(self, example: Example) -> Exported:
        """A worse answer is a loss; plain text has no place."""
        kind = kind_of(example)
        if kind == "text":
            raise CannotHold("plain text; the format holds conversations only")
        messages = example.messages or ()
        return Exported(
            {"conversations": spoken(messages)},
            losses=("rejected_answer",) if kind == "preference" else (),
            notes=(ALL_TRAINED,) if earlier_answers(messages) else (),
        )

    def beside(self, files: Mapping[str, str], kind: Kind) -> Mapping[str, str]:
        """Nothing."""
        return {}
