"""The ``dedup`` step of a recipe.

Ledger: ``merged`` with reason ``exact_duplicate`` or ``near_duplicate``, ``dropped`` with reason ``label_conflict``.
Evidence: ``partner`` (id of the row that stays; of the row with the other label in a conflict), ``similarity``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from datakit.core.errors import StepError
from datakit.core.hashing import digest
from datakit.core.step import Params, StepContext, StepOutput, entry, ledger_table
from datakit.dedup.cluster import OnConflict
from datakit.dedup.deduplicate import Keep, deduplicate
from datakit.dedup.result import DedupResult
from datakit.text.script import Unit

__all__ = ["DedupParams", "DedupStep"]


class DedupParams(Params):
    """What a recipe may say under ``dedup``.

    Attributes:
        on: What is compared: ``text``, ``prompt`` (all turns before the answer), ``answer``, ``messages``, the name
            of another column of the file, or ``auto``: the text where a row has one, else its messages.
        threshold: Smallest Jaccard similarity of shingle sets; 1 compares whole normalised texts only.
        ngram: Units per shingle.
        unit: ``auto`` (words where the script spaces them, syllables elsewhere), ``word``, ``char`` or ``syllable``.
        num_perm: Length of the MinHash signatures that propose pairs.
        seed: Of the signatures.
        keep: Which of two duplicates stays: the ``first`` row, the ``longest`` text, or the ``best`` by a column.
        by: Numeric column for ``keep: best``, higher is better.
        on_conflict: Similar texts with different labels: ``drop`` both, ``keep_first``, or ``keep`` both.
    """

    on: str = "auto"
    threshold: float = Field(default=0.8, gt=0, le=1)
    ngram: int = Field(default=5, ge=1, le=100)
    unit: Unit = "auto"
    num_perm: int = Field(default=128, ge=16, le=1024)
    seed: int = Field(default=1, ge=0, lt=2**32)
    keep: Keep = "first"
    by: str | None = None
    on_conflict: OnConflict = "drop"

    @model_validator(mode="after")
    def _best_needs_by(self) -> DedupParams:
        if (self.keep == "best") != (self.by is not None):
            raise ValueError("'keep: best' and 'by: <column>' need each other")
        return self


class DedupStep:
    """Drops exact and near-duplicates and adds the column ``cluster`` (id of the first row of a row's cluster).

    Args:
        params: From the recipe.
        context: Nothing of it is used: the result depends on the table and the parameters alone.
    """

    Params: ClassVar[type[DedupParams]] = DedupParams
    name: ClassVar[str] = "dedup"
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["row", "table"]] = "table"

    def __init__(self, params: DedupParams, context: StepContext | None = None) -> None:
        self.params = params
        self.context = context

    def fingerprint(self) -> str:
        """Versions that signatures and normal forms depend on."""
        import unicodedata
        from importlib.metadata import version

        return digest("datasketch", version("datasketch"), "unicode", unicodedata.unidata_version)

    def apply(self, table: pa.Table) -> StepOutput:
        """Compares the rows of one table with one another.

        Raises:
            StepError: A column named by ``on`` or ``by`` is in no row, or a ``by`` value is no number.
        """
        if not table.num_rows:
            return StepOutput(_with_cluster(table, []), ledger_table([]))
        ids: list[str] = table.column("id").to_pylist()
        params = self.params
        result = deduplicate(
            list(_compared(table, params.on)),
            threshold=params.threshold,
            ngram=params.ngram,
            unit=params.unit,
            num_perm=params.num_perm,
            seed=params.seed,
            keep=params.keep,
            by=None if params.by is None else _scores(table, params.by),
            ids=ids,
            labels=table.column("label").to_pylist(),
            on_conflict=params.on_conflict,
        )
        clustered = _with_cluster(table, _cluster_ids(result, ids, table))
        return StepOutput(clustered.filter(pa.array(result.keep)), ledger_table(self._entries(result, ids)))

    def _entries(self, result: DedupResult, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
        for row in (~result.keep).nonzero()[0].tolist():
            conflict, exact = bool(result.conflict[row]), bool(result.exact[row])
            evidence = {
                "partner": ids[int(result.partner[row])],
                "similarity": round(float(result.similarity[row]), 4),
            }
            reason = "label_conflict" if conflict else "exact_duplicate" if exact else "near_duplicate"
            yield entry(self.name, ids[row], "dropped" if conflict else "merged", reason, evidence=evidence)


def _compared(table: pa.Table, on: str) -> Iterator[str | None]:
    """The text of each row that is compared; None where the row has none."""
    if on in ("auto", "text", "prompt", "answer", "messages"):
        texts = table.column("text").to_pylist() if on in ("auto", "text") else [None] * table.num_rows
        turns = table.column("messages").to_pylist() if on != "text" else [None] * table.num_rows
        for text, messages in zip(texts, turns, strict=True):
            yield text if text is not None else _turns(messages, on)
        return
    for value in _column(table, on, "dedup.on"):
        yield value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _turns(messages: Sequence[Mapping[str, str]] | None, part: str) -> str | None:
    if not messages:
        return None
    answered = messages[-1]["role"] == "assistant"
    if part == "answer":
        return messages[-1]["content"] if answered else None
    chosen = messages[:-1] if part == "prompt" and answered else messages
    return "\n".join(turn["content"] or "" for turn in chosen)


def _column(table: pa.Table, name: str, key: str) -> list[Any]:
    """Values of another column of the file, or of an extra column of the table.

    Raises:
        StepError: No row has it.
    """
    if name in table.column_names:
        return list(table.column(name).to_pylist())
    rows = [json.loads(fields) if fields else {} for fields in table.column("fields").to_pylist()]
    if not any(name in row for row in rows):
        known = sorted({field for row in rows for field in row})
        raise StepError(
            f"no row has a column '{name}'",
            where=key,
            hint=f"Known: text, prompt, answer, messages{''.join(f', {field}' for field in known)}",
        )
    return [row.get(name) for row in rows]


def _scores(table: pa.Table, by: str) -> list[float | None]:
    scores: list[float | None] = []
    for row, value in enumerate(_column(table, by, "dedup.by")):
        try:
            scores.append(None if value in (None, "") else float(value))
        except (TypeError, ValueError):
            where = f"row {table.column('id')[row].as_py()}"
            raise StepError(f"the column '{by}' of dedup.by is not a number here", where=where) from None
    return scores


def _cluster_ids(result: DedupResult, ids: Sequence[str], table: pa.Table) -> list[str]:
    """Cluster of each row; clusters that an earlier dedup step found are joined with this one's, never lost."""
    own = [ids[first] for first in result.cluster.tolist()]
    if "cluster" not in table.column_names:
        return own
    earlier: list[str | None] = table.column("cluster").to_pylist()
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while root.setdefault(name, name) != name:
            name = root[name]
        return name

    for mine, before in zip(own, earlier, strict=True):
        left, right = find(mine), find(before or mine)
        root[max(left, right)] = min(left, right)
    return [find(name) for name in own]


def _with_cluster(table: pa.Table, clusters: Sequence[str]) -> pa.Table:
    column = pa.array(clusters, type=pa.string())
    if "cluster" in table.column_names:
        return table.set_column(table.column_names.index("cluster"), "cluster", column)
    return table.append_column("cluster", column)
