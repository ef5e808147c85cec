"""The one record. ``Example`` is what a person writes code against; ``SCHEMA`` is how examples travel."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from datakit.core.hashing import digest

__all__ = ["MESSAGES", "SCHEMA", "Example", "Message", "derived_id", "from_table", "source_id", "to_table"]

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("parent", pa.string()),
        ("group", pa.string()),
        ("source", pa.string()),
        ("origin", pa.string()),
        ("messages", MESSAGES),
        ("rejected", MESSAGES),
        ("text", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("label", pa.string()),
        ("template", pa.string()),
        ("fields", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Message:
    """One chat turn."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """One row on its way from source to training.

    Attributes:
        id: BLAKE2b-128 of source name, file name relative to the recipe, row number and raw content.
        parent: The row it was made from; None at the source.
        group: The root's id. Splits and few-shot exemplars never separate a group.
        source: Source name in the recipe.
        origin: File and row number, ``file:line``.
        messages: Chat turns, the last assistant turn is the target; None for plain text.
        rejected: The worse answer of a preference pair.
        text: Plain text: the raw input, or text for self-supervised training.
        choices: Options, where the task has them.
        label: Gold answer, where the task has one.
        template: What rendered it.
        fields: The row's other columns.
    """

    id: str
    group: str
    source: str
    origin: str
    parent: str | None = None
    messages: tuple[Message, ...] | None = None
    rejected: tuple[Message, ...] | None = None
    text: str | None = None
    choices: tuple[str, ...] | None = None
    label: str | None = None
    template: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def answer(self) -> str | None:
        """Content of the last assistant turn, the training target; None where there is none."""
        if self.messages and self.messages[-1].role == "assistant":
            return self.messages[-1].content
        return None

    def to_row(self) -> dict[str, Any]:
        """The row as plain Python values in the order of :data:`SCHEMA`."""

        def turns(messages: tuple[Message, ...] | None) -> list[dict[str, str]] | None:
            return None if messages is None else [{"role": m.role, "content": m.content} for m in messages]

        return {
            "id": self.id,
            "parent": self.parent,
            "group": self.group,
            "source": self.source,
            "origin": self.origin,
            "messages": turns(self.messages),
            "rejected": turns(self.rejected),
            "text": self.text,
            "choices": None if self.choices is None else list(self.choices),
            "label": self.label,
            "template": self.template,
            "fields": json.dumps(dict(self.fields), ensure_ascii=False, sort_keys=True, default=str),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Example:
        """The inverse of :meth:`to_row`; columns outside the schema are ignored."""

        def turns(value: Iterable[Mapping[str, str]] | None) -> tuple[Message, ...] | None:
            return None if value is None else tuple(Message(turn["role"], turn["content"]) for turn in value)

        return cls(
            id=row["id"],
            parent=row["parent"],
            group=row["group"],
            source=row["source"],
            origin=row["origin"],
            messages=turns(row["messages"]),
            rejected=turns(row["rejected"]),
            text=row["text"],
            choices=None if row["choices"] is None else tuple(row["choices"]),
            label=row["label"],
            template=row["template"],
            fields=json.loads(row["fields"]) if row["fields"] else {},
        )


def source_id(source: str, file: str, row: int, content: str | bytes) -> str:
    """Id of a raw row: source name, file name relative to the recipe, row number, raw content."""
    return digest(source, file, row, content)


def derived_id(parent: str, step: str, k: int) -> str:
    """Id of the ``k``-th row a step makes from ``parent``."""
    return digest(parent, step, k)


def to_table(examples: Iterable[Example]) -> pa.Table:
    """Examples as an Arrow table of :data:`SCHEMA`, in order."""
    return pa.Table.from_pylist([example.to_row() for example in examples], schema=SCHEMA)


def from_table(table: pa.Table) -> Iterator[Example]:
    """Examples of a table, batch by batch; extra columns are ignored."""
    for batch in table.select(SCHEMA.names).to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            yield Example.from_row(row)
