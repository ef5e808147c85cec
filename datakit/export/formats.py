"""What a format of another trainer is: a row of it for each of ours, and what of ours it cannot hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from datakit.core.example import Example, Message
from datakit.core.registry import Registry

__all__ = [
    "EXPORTERS",
    "CannotHold",
    "Exported",
    "Exporter",
    "Kind",
    "earlier_answers",
    "kind_of",
    "label_loss",
    "pair_of",
    "turns",
]

EXPORTERS = Registry(
    "datakit.exporters",
    {
        "alpaca": "datakit.export.alpaca:Alpaca",
        "axolotl": "datakit.export.axolotl:Axolotl",
        "llamafactory": "datakit.export.llamafactory:LlamaFactory",
        "openai": "datakit.export.openai:OpenAI",
        "sharegpt": "datakit.export.sharegpt:ShareGPT",
        "trl": "datakit.export.trl:TRL",
        "trl-messages": "datakit.export.trl:TRLMessages",
    },
)
"""Exporter classes. ``huggingface`` stands beside them: it is our own folder."""

Kind = Literal["chat", "preference", "text"]


class CannotHold(Exception):
    """The format has no place for this row."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A row as the format has it.

    Attributes:
        row: For JSON.
        losses: What of the row is not in it: the same slug for the same loss.
        notes: What a trainer will do differently with it.
    """

    row: Mapping[str, Any]
    losses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Exporter(Protocol):
    """A format. ``suffix`` is .jsonl for an object per line, .json for one array."""

    suffix: str

    def row(self, example: Example) -> Exported:
        """One row.

        Raises:
            CannotHold: The format has no place for it.
        """
        ...

    def beside(self, files: Mapping[str, str], kind: Kind) -> Mapping[str, str]:
        """Further files of the folder, name to text; given split to file name and what all rows are."""
        ...


def kind_of(example: Example) -> Kind:
    """What a row is for a trainer.

    Raises:
        CannotHold: Neither a conversation that ends with an answer nor a text.
    """
    if example.messages:
        if example.messages[-1].role != "assistant":
            raise CannotHold("the conversation does not end with an answer")
        return "preference" if example.rejected else "chat"
    if example.text is not None:
        return "text"
    raise CannotHold("there is neither a conversation nor a text")


def turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Turns as objects with role and content."""
    return [{"role": turn.role, "content": turn.content} for turn in messages]


def pair_of(example: Example) -> tuple[list[Message], Message, Message]:
    """Prompt, better and worse answer of a preference pair.

    Raises:
        CannotHold: The worse answer is more than one turn.
    """
    messages, rejected = example.messages or (), example.rejected or ()
    if len(rejected) != 1 or rejected[0].role != "assistant":
        raise CannotHold("the worse answer is more than one turn")
    return list(messages[:-1]), messages[-1], rejected[0]


def earlier_answers(messages: Sequence[Message]) -> bool:
    """Whether there are answers before the last one; only the last is trained."""
    return any(turn.role == "assistant" for turn in messages[:-1])


def label_loss(example: Example) -> tuple[str, ...]:
    """A text with a label becomes a text without one."""
    return ("label",) if example.label is not None else ()
