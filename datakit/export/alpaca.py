"""Stanford Alpaca's three columns: instruction, input, output."""

from __future__ import annotations

from collections.abc import Mapping

from datakit.core.example import Example
from datakit.export.formats import CannotHold, Exported, Kind, kind_of

__all__ = ["Alpaca"]


class Alpaca:
    """One question and one answer; the input stands inside the instruction, as our prompts have it."""

    suffix = ".json"

    def row(self, example: Example) -> Exported:
        """A system prompt and a worse answer are losses; several turns and plain text have no place."""
        kind = kind_of(example)
        messages = [turn for turn in example.messages or () if turn.role != "system"]
        if kind == "text":
            raise CannotHold("plain text; the format holds an instruction and its answer")
        if [turn.role for turn in messages] != ["user", "assistant"]:
            raise CannotHold("more than one question and one answer")
        losses: tuple[str, ...] = ("system_prompt",) if len(messages) < len(example.messages or ()) else ()
        losses += ("rejected_answer",) if kind == "preference" else ()
        return Exported({"instruction": messages[0].content, "input": "", "output": messages[1].content}, losses=losses)

    def beside(self, files: Mapping[str, str], kind: Kind) -> Mapping[str, str]:
        """Nothing."""
        return {}
