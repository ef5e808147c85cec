"""OpenAI's fine-tuning files: chat with a weight per answer, or pairs with input and two outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datakit.core.example import Example
from datakit.export.formats import CannotHold, Exported, Kind, earlier_answers, kind_of, pair_of, turns

__all__ = ["OpenAI"]


class OpenAI:
    """``{"messages": [...]}``; for pairs ``input``, ``preferred_output``, ``non_preferred_output``."""

    suffix = ".jsonl"

    def row(self, example: Example) -> Exported:
        """Answers before the last get ``weight: 0``."""
        kind = kind_of(example)
        messages = example.messages or ()
        if kind == "text":
            raise CannotHold("plain text; the format holds conversations only")
        if any(turn.role == "tool" for turn in messages):
            raise CannotHold("turns of tools need the call they answer, which our rows do not name")
        if kind == "preference":
            prompt, better, worse = pair_of(example)
            return Exported(
                {
                    "input": {"messages": turns(prompt)},
                    "preferred_output": turns([better]),
                    "non_preferred_output": turns([worse]),
                }
            )
        rows: list[dict[str, Any]] = list(turns(messages))
        if earlier_answers(messages):
            for index, turn in enumerate(rows):
                if turn["role"] == "assistant":
                    turn["weight"] = int(index == len(rows) - 1)
        return Exported({"messages": rows})

    def beside(self, files: Mapping[str, str], kind: Kind) -> Mapping[str, str]:
        """Nothing."""
        return {}
