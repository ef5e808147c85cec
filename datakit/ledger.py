"""What happened to every row: the ledger of a run, counted for people, and the story of one example."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from datakit.core.errors import StorageError, UsageError
from datakit.core.storage import read_json, read_table

__all__ = ["StepCount", "Story", "StoryLine", "StoryRow", "count_step", "ledger_files", "read_ledger", "story"]


class StepCount(NamedTuple):
    """What one step did. ``rows_in + created = rows_out + sum(dropped.values())``.

    Attributes:
        name: ``source:<name>`` or the step's name.
        rows_in: Rows read or taken over.
        rows_out: Rows that went on.
        dropped: Reason to rows dropped or merged into another.
        changed: Reason to rows changed.
        created: Rows made from others.
    """

    name: str
    rows_in: int
    rows_out: int
    dropped: dict[str, int]
    changed: dict[str, int]
    created: int

    @property
    def lost(self) -> int:
        """Rows dropped, for whatever reason."""
        return sum(self.dropped.values())

    def sentence(self) -> str:
        """``near_duplicate 18,402 dropped · email 12 changed · 40 created``."""
        parts = [f"{reason} {count:,} dropped" for reason, count in _by_size(self.dropped)]
        parts += [f"{reason} {count:,} changed" for reason, count in _by_size(self.changed)]
        if self.created:
            parts.append(f"{self.created:,} created")
        return " · ".join(parts)


def _by_size(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def count_step(name: str, rows_in: int, rows_out: int, ledger: pa.Table) -> StepCount:
    """Counts a ledger by action and reason; a row changed twice for one reason counts once."""
    dropped: Counter[str] = Counter()
    changed: dict[str, set[str]] = defaultdict(set)
    created = 0
    columns = (ledger.column(name).to_pylist() for name in ("example_id", "action", "reason"))
    for example, action, reason in zip(*columns, strict=True):
        if action in ("dropped", "merged"):
            dropped[reason] += 1
        elif action == "changed":
            changed[reason].add(example)
        else:
            created += 1
    by_reason = {reason: len(rows) for reason, rows in sorted(changed.items())}
    return StepCount(name, rows_in, rows_out, dict(sorted(dropped.items())), by_reason, created)


def ledger_files(run: Path) -> list[Path]:
    """Ledger files of a run in the order of its steps.

    Raises:
        StorageError: The folder is no run.
    """
    files = sorted((run / "ledger").glob("[0-9][0-9]-*.parquet"))
    if not files:
        raise StorageError("no run with a ledger", where=run, hint="Give the folder that datakit build or run wrote")
    return files


def read_ledger(run: Path) -> pa.Table:
    """The whole ledger of a run, in the order of its steps."""
    return pa.concat_tables([read_table(file) for file in ledger_files(run)])


@dataclass(frozen=True, slots=True)
class StoryLine:
    """One ledger row: what a step did to the example or to a row made from it."""

    step: str
    example_id: str
    parent: str | None
    action: str
    reason: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoryRow:
    """A row of the built dataset that comes from the example."""

    id: str
    split: str
    template: str | None
    label: str | None


@dataclass(frozen=True, slots=True)
class Story:
    """The life of one example.

    Attributes:
        id: Id of its row at the source.
        source: Source name; None if it is known from the ledger alone.
        origin: File and line.
        lines: Ledger rows in the order of the steps, those of derived rows included.
        rows: Where it stands in the dataset; empty if it was dropped.
        raw: The row as it was read, only where asked for and still in ``private/``.
    """

    id: str
    source: str | None
    origin: str | None
    lines: tuple[StoryLine, ...]
    rows: tuple[StoryRow, ...]
    raw: Mapping[str, Any] | None = None

    @property
    def split(self) -> str | None:
        """The split it stands in, None if it was dropped."""
        return self.rows[0].split if self.rows else None


def story(run: Path, id_or_prefix: str, *, raw: bool = False) -> Story:
    """Follows one example from its file through every step to its split.

    Args:
        run: Run folder.
        id_or_prefix: Id of a source row or of any row made from it, the beginning of one, or ``file:line``.
        raw: Also read the raw row from ``private/``.

    Raises:
        StorageError: The folder is no run.
        UsageError: Nothing or more than one example begins so.
    """
    ledger = read_ledger(run).to_pylist()
    rows = _dataset_rows(run)
    sources = _source_rows(run)
    parents = {line["example_id"]: line["parent"] for line in ledger if line["parent"]}
    parents.update({row["id"]: row["parent"] for row in rows if row["parent"]})
    origins = {row["id"]: row["origin"] for row in [*sources, *rows]}
    for line in ledger:
        origins.setdefault(line["example_id"], json.loads(line["evidence"] or "{}").get("origin"))
    root = _match(id_or_prefix, origins, parents)

    def mine(row: str) -> bool:
        return _root(row, parents) == root

    lines = [line for line in ledger if mine(line["example_id"])]
    own = [row for row in rows if mine(row["id"])]
    at_source = next((row for row in sources if row["id"] == root), None)
    known = at_source or next(iter(own), None)
    named = [line["step"].removeprefix("source:") for line in lines if line["step"].startswith("source:")]
    return Story(
        id=root,
        source=known["source"] if known else next(iter(named), None),
        origin=origins.get(root) or next((row["origin"] for row in own), None),
        lines=tuple(StoryLine(**{**line, "evidence": json.loads(line["evidence"] or "{}")}) for line in lines),
        rows=tuple(StoryRow(row["id"], row["split"], row["template"], row["label"]) for row in own),
        raw=_raw(run, root) if raw else None,
    )


def _root(row: str, parents: Mapping[str, str]) -> str:
    while row in parents:
        row = parents[row]
    return row


def _match(wanted: str, origins: Mapping[str, str | None], parents: Mapping[str, str]) -> str:
    everything = {*origins, *parents, *parents.values()}
    found = {_root(row, parents) for row in everything if row.startswith(wanted)}
    found = found or {_root(row, parents) for row, origin in origins.items() if origin == wanted}
    if len(found) == 1:
        return found.pop()
    if not found:
        raise UsageError(
            f"no example '{wanted}' in this run", hint="Give an id, the beginning of one, or file:line of a source row"
        )
    some = ", ".join(sorted(found)[:4])
    raise UsageError(f"'{wanted}' is the beginning of {len(found)} examples ({some}, ...)", hint="Write more of the id")


def _dataset_rows(run: Path) -> list[dict[str, Any]]:
    files = [*sorted((run / "data").glob("*-00000-of-*.parquet")), *sorted((run / "data" / "replay").glob("*.parquet"))]
    rows: list[dict[str, Any]] = []
    for file in files:
        split = "replay" if file.parent.name == "replay" else file.name.partition("-")[0]
        table = read_table(file).select(["id", "parent", "source", "origin", "template", "label"])
        rows += [{**row, "split": split} for row in table.to_pylist()]
    return rows


def _source_tables(run: Path) -> Iterable[Path]:
    """Cached source tables of this run; none where ``private/`` was not copied along."""
    try:
        sources = read_json(run / "manifest.json")["data"]["sources"]
    except (StorageError, KeyError, TypeError):
        return []
    found = (run / "private" / "cache" / f"{source['key']}.parquet" for source in sources.values())
    return [file for file in found if file.is_file()]


def _source_rows(run: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for file in _source_tables(run):
        rows += read_table(file).select(["id", "source", "origin"]).to_pylist()
    return rows


def _raw(run: Path, row: str) -> dict[str, Any] | None:
    for file in _source_tables(run):
        table = read_table(file)
        found = table.filter(pa.compute.equal(table.column("id"), row))
        if found.num_rows:
            whole = found.to_pylist()[0]
            kept = {name: whole[name] for name in ("text", "label", "messages", "rejected", "choices") if whole[name]}
            return {**kept, "fields": json.loads(whole["fields"] or "{}")}
    return None
