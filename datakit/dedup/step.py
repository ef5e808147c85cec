"""The ``dedup`` step of a recipe.

Ledger: ``merged`` with reason ``exact_duplicate`` or ``near_duplicate``, ``dropped`` with reason ``label_conflict``.
Evidence: ``partner`` (id of the row that stays; of the row with the other label in a conflict), ``similarity``, and
``in`` where the partner is no row of the table: ``index`` (a row kept by an earlier run), ``against`` (``file:row``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from datakit.core.errors import StepError
from datakit.core.hashing import digest, file_digest
from datakit.core.step import Params, StepContext, StepOutput, entry, ledger_table
from datakit.dedup.cluster import OnConflict
from datakit.dedup.compared import compared, reference_texts, scores
from datakit.dedup.deduplicate import Keep, deduplicate
from datakit.dedup.index import HASHES, DedupIndex
from datakit.dedup.result import DedupResult
from datakit.dedup.semantic import load_embedder
from datakit.text.kernel import Scheme
from datakit.text.script import Unit

__all__ = ["DedupParams", "DedupStep"]


class DedupParams(Params):
    """What a recipe may say under ``dedup``.

    Attributes:
        on: What is compared: ``text``, ``prompt`` (all turns before the answer), ``answer``, ``messages``, the name
            of another column of the file, a list of columns (joined), or ``auto``: the text where a row has one,
            else its messages.
        threshold: Smallest Jaccard similarity of shingle sets; 1 compares whole normalised texts only.
        ngram: Units per shingle.
        unit: ``auto`` (words where the script spaces them, syllables elsewhere), ``bare`` (the same without symbols),
            ``word``, ``char`` or ``syllable``.
        num_perm: Length of the MinHash signatures that propose pairs.
        seed: Of the signatures.
        keep: Which of two duplicates stays: the ``first`` row, the ``longest`` text, or the ``best`` by a column.
        by: Numeric column for ``keep: best``, higher is better.
        on_conflict: Similar texts with different labels: ``drop`` both, ``keep_first``, or ``keep`` both.
        method: ``minhash``; ``exact``: whole normalised texts only; ``semantic``: cosine similarity of embeddings.
        model: For ``semantic``: a folder of model2vec, ``module:attribute``, or a registered embedder.
        within: Only rows that are equal in this are compared: ``prompt`` with ``on: answer``, or a column.
        against: A file whose rows stay; rows that resemble one of them go.
        against_column: Its column that is compared.
        index: A folder with the signatures of all rows kept so far; the rows kept now are added.
    """

    on: str | tuple[str, ...] = "auto"
    threshold: float = Field(default=0.8, gt=0, le=1)
    ngram: int = Field(default=5, ge=1, le=100)
    unit: Unit = "auto"
    num_perm: int = Field(default=128, ge=16, le=1024)
    seed: int = Field(default=1, ge=0, lt=2**32)
    keep: Keep = "first"
    by: str | None = None
    on_conflict: OnConflict = "drop"
    method: Literal["minhash", "exact", "semantic"] = "minhash"
    model: str | None = None
    within: str | None = None
    against: str | None = None
    against_column: str | None = None
    index: str | None = None

    @model_validator(mode="after")
    def _best_needs_by(self) -> DedupParams:
        if (self.keep == "best") != (self.by is not None):
            raise ValueError("'keep: best' and 'by: <column>' need each other")
        if (self.method == "semantic") != (self.model is not None):
            raise ValueError("'method: semantic' and 'model: <folder or module:attribute>' need each other")
        if self.within is not None and (self.against is not None or self.index is not None):
            raise ValueError("'within' does not go with 'against' or 'index': what is there has no prompt")
        if self.method == "semantic" and self.index is not None:
            raise ValueError("'index' holds signatures and does not go with 'method: semantic'")
        if self.against_column is not None and self.against is None:
            raise ValueError("'against_column' needs 'against: <file>'")
        return self


class DedupStep:
    """Drops exact and near-duplicates and adds the column ``cluster`` (id of the first row of a row's cluster).

    Args:
        params: From the recipe.
        context: Its folder is where the paths of ``against``, ``index`` and ``model`` start.
    """

    Params: ClassVar[type[DedupParams]] = DedupParams
    name: ClassVar[str] = "dedup"
    version: ClassVar[int] = 2
    kind: ClassVar[Literal["row", "table"]] = "table"

    def __init__(self, params: DedupParams, context: StepContext | None = None) -> None:
        self.params = params
        self.folder = (context or StepContext()).folder
        self.index = None
        if params.index is not None:
            scheme = Scheme(params.ngram, params.unit, params.num_perm, params.seed)
            self.index = DedupIndex(self.folder / params.index, scheme)
        if params.against is not None and not (self.folder / params.against).is_file():
            raise StepError(f"no file '{params.against}'", where="dedup.against")

    def fingerprint(self) -> str:
        """Versions that signatures and normal forms depend on, and the bytes of what rows are compared with."""
        import unicodedata

        parts = [f"hashes {HASHES}", "unicode", unicodedata.unidata_version]
        if self.params.against is not None:
            parts.append(file_digest(self.folder / self.params.against))
        if self.index is not None:
            parts.append(self.index.fingerprint())
        if self.params.model is not None and (self.folder / self.params.model).is_dir():
            files = sorted(path for path in (self.folder / self.params.model).rglob("*") if path.is_file())
            parts += [file_digest(path) for path in files]
        return digest(*parts)

    def apply(self, table: pa.Table) -> StepOutput:
        """Compares the rows of one table with one another, and with the reference and the index.

        Raises:
            StepError: A column named by ``on`` or ``by`` is in no row, or a ``by`` value is no number.
        """
        if not table.num_rows:
            return StepOutput(_with_cluster(table, []), ledger_table([]))
        ids: list[str] = table.column("id").to_pylist()
        labels: list[str | None] = table.column("label").to_pylist()
        params = self.params
        texts = list(compared(table, params.on))
        against = None
        if params.against is not None:
            against = reference_texts(self.folder / params.against, params.on, params.against_column)
        result = deduplicate(
            texts,
            threshold=1.0 if params.method == "exact" else params.threshold,
            ngram=params.ngram,
            unit=params.unit,
            num_perm=params.num_perm,
            seed=params.seed,
            keep=params.keep,
            by=None if params.by is None else scores(table, params.by),
            ids=ids,
            labels=labels,
            on_conflict=params.on_conflict,
            within=None if params.within is None else list(compared(table, params.within)),
            against=against,
            index=self.index,
            embedder=None if params.model is None else load_embedder(params.model, self.folder),
        )
        entries = ledger_table(self._entries(result, ids, self._outside(ids, against)))
        if self.index is not None:
            kept = [row for row in result.keep.nonzero()[0].tolist() if texts[row] is not None]
            self.index.add([texts[row] for row in kept], [ids[row] for row in kept], [labels[row] for row in kept])
        clustered = _with_cluster(table, _cluster_ids(result, ids, table))
        return StepOutput(clustered.filter(pa.array(result.keep)), entries)

    def _outside(self, ids: Sequence[str], against: Sequence[str | None] | None) -> list[tuple[str, str]]:
        """Where each text of reference and index is, and its name."""
        file = Path(self.params.against or "").name
        found = [("against", f"{file}:{row + 1}") for row in range(len(against or ()))]
        if self.index is not None:
            found += [("index", name) for name in self.index.without(ids).column("id").to_pylist()]
        return found

    def _entries(
        self, result: DedupResult, ids: Sequence[str], outside: Sequence[tuple[str, str]]
    ) -> Iterator[dict[str, Any]]:
        for row in (~result.keep).nonzero()[0].tolist():
            conflict, exact = bool(result.conflict[row]), bool(result.exact[row])
            evidence: dict[str, Any] = {"similarity": round(float(result.similarity[row]), 4)}
            if result.outside[row] >= 0:
                evidence["in"], evidence["partner"] = outside[int(result.outside[row])]
            else:
                evidence["partner"] = ids[int(result.partner[row])]
            reason = "label_conflict" if conflict else "exact_duplicate" if exact else "near_duplicate"
            yield entry(self.name, ids[row], "dropped" if conflict else "merged", reason, evidence=evidence)


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
