"""TRL's dataset types: prompt and completion, messages, preference pairs, plain text."""

from __future__ import annotations

from collections.abc import Mapping

from datakit.core.example import Example
from datakit.export.formats import CannotHold, Exported, Kind, earlier_answers, kind_of, label_loss, pair_of, turns
from datakit.export.sharegpt import ALL_TRAINED

__all__ = ["TRL", "TRLMessages"]


class TRL:
    """Conversational prompt and completion, of which TRL trains the completion alone; pairs; or plain text."""

    suffix = ".jsonl"

    def row(self, example: Example) -> Exported:
        """The last answer is the completion."""
        kind = kind_of(example)
        messages = example.messages or ()
        if kind == "text":
            return Exported({"text": example.text}, losses=label_loss(example))
        if kind == "preference":
            prompt, better, worse = pair_of(example)
            return Exported({"prompt": turns(prompt), "chosen": turns([better]), "rejected": turns([worse])})
        if len(messages) < 2:
            raise CannotHold("an answer without a question")
        return Exported({"prompt": turns(messages[:-1]), "completion": turns(messages[-1:])})

    def beside(self, files: Mapping[str, str], kind: Kind) -> Mapping[str, str]:
        """Nothing."""
        return {}


class TRLMessages:
    """``{"messages": [...]}``, for ``assistant_only_loss`` or training on whole conversations."""

    suffix = ".jsonl"

    def row(self, example: Example) -> Exported:
        """A worse answer is a loss; plain text has no place."""
        kind = kind_of(example)
        messages = example.messages or ()
        if kind == "text":
            raise CannotHold("plain text; use trl")
        return Exported(
            {"messages": turns(messages)},
            losses=("rejected_answer",) if kind == "preference" else (),
            notes=(ALL_TRAINED,) if earlier_answers(messages) else (),
        )

    def beside(self, files: Mapping[str, str], kind: Kind) -> Mapping[str, str]:
        """Nothing."""
        return {}
