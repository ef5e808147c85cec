"""What a step of a build is: a table in, a table and its ledger out, and an equation that must hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from datakit.core.errors import StepError
from datakit.core.workers import Workers

__all__ = ["LEDGER_SCHEMA", "Action", "Params", "Step", "StepContext", "StepOutput", "entry", "ledger_table"]

Action = Literal["dropped", "merged", "changed", "created"]

LEDGER_SCHEMA = pa.schema(
    [
        ("step", pa.string()),
        ("example_id", pa.string()),
        ("parent", pa.string()),
        ("action", pa.string()),
        ("reason", pa.string()),
        ("evidence", pa.string()),
    ]
)


class Params(BaseModel):
    """Base of every step's parameters, as written in a recipe: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def entry(
    step: str,
    example_id: str,
    action: Action,
    reason: str,
    *,
    parent: str | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One ledger row. ``reason`` is a slug; ``evidence`` never holds a row's text, only kinds, offsets, ids, hashes."""
    return {
        "step": step,
        "example_id": example_id,
        "parent": parent,
        "action": action,
        "reason": reason,
        "evidence": json.dumps(dict(evidence or {}), ensure_ascii=False, sort_keys=True),
    }


def ledger_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Ledger rows as an Arrow table of :data:`LEDGER_SCHEMA`."""
    return pa.Table.from_pylist(list(rows), schema=LEDGER_SCHEMA)


@dataclass(frozen=True, slots=True)
class StepOutput:
    """A step's result: the rows that go on, and what happened to the others (and to changed or created ones)."""

    table: pa.Table
    ledger: pa.Table

    def count(self, *actions: Action) -> int:
        """Number of ledger rows with one of these actions."""
        found = self.ledger.column("action").to_pylist()
        return sum(action in actions for action in found)

    def balance(self, step: str, rows_in: int) -> None:
        """Holds ``rows in + created = rows out + dropped``; merged counts as dropped.

        Raises:
            StepError: The equation does not hold: the step lost or invented a row.
        """
        created, dropped = self.count("created"), self.count("dropped", "merged")
        if rows_in + created != self.table.num_rows + dropped:
            raise StepError(
                f"step '{step}' does not balance: {rows_in} in + {created} created "
                f"is not {self.table.num_rows} out + {dropped} dropped"
            )


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a step may know besides its parameters.

    Attributes:
        seed: Of the recipe; everything random derives from it.
        folder: Folder of the recipe; relative paths start there.
        private: Folder for what may never be exported, mode 0600.
        labels: Source name to label names in the order of their integers.
        columns: Source name to the recipe's column map, our name to the file's name.
        resources: Name to path, handed in from above (the suite's items, for example).
        offline: ``network: never``.
        redact: Languages to what finds personal data in texts, for steps that send texts somewhere.
        confirm: Asks a person, before money is spent; None where nobody can be asked.
        tell: Hears how far a long step is.
        workers: Do what looks at each row by itself.
    """

    seed: int = 0
    folder: Path = Path()
    private: Path | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    resources: Mapping[str, Path] = field(default_factory=dict)
    offline: bool = False
    redact: Callable[[tuple[str, ...]], Any] | None = None
    confirm: Callable[[str], bool] | None = None
    tell: Callable[[str], None] = lambda text: None
    workers: Workers = field(default_factory=Workers)

    def seed_of(self, own: int | None) -> int:
        """A step's own seed, else the recipe's."""
        return self.seed if own is None else own

    def mapped(self) -> dict[str, str]:
        """Our name to the file's name of all sources' columns."""
        return {ours: theirs for names in self.columns.values() for ours, theirs in names.items()}


class Step(Protocol):
    """A row step looks at rows one by one; a table step needs all of them. Same signature.

    A step is made as ``StepClass(params, context)``; ``Params`` on the class is its parameter model.
    ``fingerprint`` is everything outside the parameters that determines the result (template texts, bytes of other
    files, library versions); it becomes part of the cache key. A step may also have ``columns`` (that the rows must
    have), ``after`` (hears the steps before it, and refuses those it cannot follow), ``notes`` and ``documents`` (for
    the data card and beside it).
    """

    name: ClassVar[str]
    version: ClassVar[int]
    kind: ClassVar[Literal["row", "table"]]

    def fingerprint(self) -> str:
        """Hash of outside material, "" where there is none."""
        ...

    def apply(self, table: pa.Table) -> StepOutput:
        """The step's work; never changes its input."""
        ...


StepFactory = Callable[[Params, StepContext], Step]
