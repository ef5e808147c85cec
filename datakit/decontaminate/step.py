"""The ``decontaminate`` step of a recipe.

Ledger: ``dropped`` with reason ``contaminated``. Evidence, without any text: ``task``, ``item_id``, ``side`` (prompt or
answer) and ``covered`` of the item that is covered most, ``items`` (how many), and ``matches``: all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from datakit.core.errors import StepError
from datakit.core.hashing import digest
from datakit.core.step import Params, StepContext, StepOutput, entry, ledger_table
from datakit.decontaminate.find import Contamination, decontaminate

__all__ = ["SUITE", "DecontaminateParams", "DecontaminateStep", "contamination_table"]

SUITE = "suite"

RECORD = pa.schema(
    [
        ("task", pa.string()),
        ("item_id", pa.string()),
        ("side", pa.string()),
        ("covered", pa.float64()),
        ("example_id", pa.string()),
        ("in_training", pa.bool_()),
    ]
)


class DecontaminateParams(Params):
    """What a recipe may say under ``decontaminate``.

    Attributes:
        against: ``suite`` (the items of ``evaluate.suite``), a file of items, or a list of these.
        ngram: Words of an item's prompt or answer that count where they stand in a row.
        short_ngram: The same for shorter prompts and answers.
        min_covered: Smallest share of a prompt or answer that counts.
        action: ``drop`` the rows, or ``report`` them only.
    """

    against: str | tuple[str, ...] = SUITE
    ngram: int = Field(default=13, ge=1, le=100)
    short_ngram: int = Field(default=8, ge=1, le=100)
    min_covered: float = Field(default=0.0, ge=0, le=1)
    action: Literal["drop", "report"] = "drop"

    @model_validator(mode="after")
    def _shorter(self) -> DecontaminateParams:
        if self.short_ngram > self.ngram:
            raise ValueError(f"short_ngram {self.short_ngram} is longer than ngram {self.ngram}")
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """What ``against`` names."""
        return (self.against,) if isinstance(self.against, str) else self.against


class DecontaminateStep:
    """Drops rows that hold benchmark items.

    Args:
        params: From the recipe.
        context: Its ``resources["suite"]`` is the suite's items as Parquet; files lie in its folder.

    Raises:
        StepError: A file is missing, or the suite is asked for and none is there.
    """

    Params: ClassVar[type[DecontaminateParams]] = DecontaminateParams
    name: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 2
    kind: ClassVar[Literal["row", "table"]] = "table"

    def __init__(self, params: DecontaminateParams, context: StepContext | None = None) -> None:
        self.params = params
        self.files = [_file(name, context or StepContext()) for name in params.sources]
        self._notes: list[str] = []

    def fingerprint(self) -> str:
        """The items' bytes, and the version of Unicode that normal forms depend on."""
        import unicodedata

        return digest("unicode", unicodedata.unidata_version, *(file.read_bytes() for file in self.files))

    def notes(self) -> list[str]:
        """How many items were found, for the card."""
        return self._notes

    def apply(self, table: pa.Table) -> StepOutput:
        """Looks at text, all turns and the rejected answer of each row.

        Raises:
            StepError: The items cannot be read.
        """
        params = self.params
        found = decontaminate(
            list(_parts(table)),
            self.files,
            ngram=params.ngram,
            short_ngram=params.short_ngram,
            min_covered=params.min_covered,
        )
        ids: list[str] = table.column("id").to_pylist()
        rows = ledger_table(self._entries(found, ids))
        self._notes = [_note(found)]
        kept = table.filter(pa.array(found.keep)) if params.action == "drop" else table
        return StepOutput(kept, rows)

    def _entries(self, found: Contamination, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
        by_row: dict[int, list[dict[str, Any]]] = {}
        for match in found.matches.to_pylist():
            by_row.setdefault(match.pop("row"), []).append(match | {"covered": round(match["covered"], 4)})
        action: Literal["dropped", "changed"] = "dropped" if self.params.action == "drop" else "changed"
        for row, matches in by_row.items():
            most = max(matches, key=lambda match: (match["covered"], match["side"] == "prompt"))
            items = len({(match["task"], match["item_id"]) for match in matches})
            listed = [[match[name] for name in ("task", "item_id", "side", "covered")] for match in matches]
            yield entry(
                self.name, ids[row], action, "contaminated", evidence={**most, "items": items, "matches": listed}
            )


def _note(found: Contamination) -> str:
    items = found.items()
    tasks = sorted(set(items.column("task").to_pylist()))
    count = len(set(zip(items.column("task").to_pylist(), items.column("item_id").to_pylist(), strict=True)))
    rows = int((~found.keep).sum())
    return f"{rows:,} rows hold {count:,} benchmark items" + (f" of {', '.join(tasks)}" if tasks else "")


def _file(name: str, context: StepContext) -> Path:
    if name == SUITE:
        if SUITE not in context.resources:
            raise StepError(
                "there is no suite to compare with",
                where="decontaminate.against",
                hint="Set evaluate.suite in the recipe, or name a file of benchmark items",
            )
        return Path(context.resources[SUITE])
    path = context.folder / name
    if not path.is_file():
        raise StepError(f"no file '{name}'", where="decontaminate.against", hint="A file of benchmark items, or suite")
    return path


def _parts(table: pa.Table) -> Iterator[list[str]]:
    columns = (table.column(name).to_pylist() for name in ("text", "messages", "rejected"))
    for text, messages, rejected in zip(*columns, strict=True):
        yield [text or "", *_contents(messages), *_contents(rejected)[-1:]]


def _contents(messages: Sequence[Mapping[str, str]] | None) -> list[str]:
    return [turn["content"] or "" for turn in messages or ()]


def contamination_table(ledgers: Sequence[pa.Table], trained: Sequence[pa.Table]) -> pa.Table:
    """What ``decontaminate`` steps found, from their ledgers: task, item_id, side, covered, example_id, in_training.

    Args:
        ledgers: Of the steps.
        trained: Rows that a model is trained on. A row that was dropped, or went to another split, is in none of them;
            one that was made into others is known by their parent and group.
    """
    known = {one for table in trained for name in ("id", "parent", "group") for one in table[name].to_pylist()}
    rows = [row for ledger in ledgers for row in ledger.to_pylist() if row["step"] == DecontaminateStep.name]
    found = [
        dict(zip(RECORD.names, [*match, row["example_id"], row["example_id"] in known], strict=True))
        for row in rows
        for match in json.loads(row["evidence"])["matches"]
    ]
    found.sort(key=lambda row: (row["task"], row["item_id"], row["side"], row["example_id"]))
    return pa.Table.from_pylist(found, schema=RECORD)
