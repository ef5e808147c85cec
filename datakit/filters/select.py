"""The best rows for a budget: those like a target, those that cover the data, or those a model finds so surprising."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from datakit.core import step as core
from datakit.core.checkpoint import find_model
from datakit.core.errors import StepError
from datakit.core.hashing import digest, file_digest, tree_digest
from datakit.core.registry import Registry
from datakit.core.step import StepContext, StepOutput
from datakit.filters.balance import lot
from datakit.filters.columns import View, drop_rows, is_train, view
from datakit.filters.diversity import k_centres
from datakit.filters.features import hashed_vectors, importance
from datakit.filters.tokens import Tokenizer

__all__ = ["EMBEDDERS", "SelectParams", "SelectStep"]

EMBEDDERS = Registry("datakit.embedders")
"""Name to something with ``encode(texts) -> matrix``, or to a function that makes one."""

_MODELS = Registry("datakit.models")


class SelectParams(core.Params):
    """Parameters of ``select``.

    Attributes:
        by: ``likeness`` to ``target``, ``diversity``, or ``loss`` of ``model``.
        rows: The budget in rows.
        tokens: The budget in tokens of ``tokenizer``.
        tokenizer: A model folder, a ``tokenizer.json``, a Hub name, or ``pocket``.
        target: A source of the recipe, whose rows all stay, or a text file with an example on each line.
        encoder: ``module:attribute`` or a registered embedder; hashed words and word pairs by default.
        model: A model folder, a Hub name, or ``pocket``.
        prefer: Rows with a ``low``, ``middle`` or ``high`` loss.
        on: What is looked at.
        seed: Of the draw and of the first row; the recipe's by default.
    """

    by: Literal["likeness", "diversity", "loss"]
    rows: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    tokenizer: str | None = None
    target: str | None = None
    encoder: str | None = None
    model: str | None = None
    prefer: Literal["low", "middle", "high"] = "middle"
    on: View = "auto"
    seed: int | None = None

    @model_validator(mode="after")
    def _what_belongs_together(self) -> SelectParams:
        if (self.rows is None) == (self.tokens is None):
            raise ValueError("give rows or tokens, one of the two")
        if (self.tokens is None) != (self.tokenizer is None):
            raise ValueError("tokens and tokenizer go together")
        if (self.by == "likeness") != (self.target is not None):
            raise ValueError("by: likeness and target go together")
        if (self.by == "loss") != (self.model is not None):
            raise ValueError("by: loss and model go together")
        if self.by == "loss" and self.encoder is not None:
            raise ValueError("by: loss takes no encoder")
        return self


class SelectStep:
    """Drops what the budget does not hold: ``not_selected``; the evidence has score and rank where there are any.

    Only rows of the training side are chosen among; others stay and cost nothing.
    """

    name: ClassVar[str] = "select"
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["row", "table"]] = "table"
    train_only: ClassVar[bool] = True
    Params: ClassVar[type[core.Params]] = SelectParams

    def __init__(self, params: SelectParams, context: StepContext) -> None:
        self.params, self.context = params, context
        self.seed = context.seed_of(params.seed)
        self._tokenizer = None if params.tokenizer is None else Tokenizer(params.tokenizer, context)
        self._encoder = None if params.encoder is None else _encoder(params.encoder)
        self._model = None if params.model is None else _model_folder(params.model, context)
        self._said: list[str] = []

    def fingerprint(self) -> str:
        """Hash of tokenizer, target file and weights."""
        parts = [self._tokenizer.fingerprint() if self._tokenizer else ""]
        target = self.context.folder / (self.params.target or "")
        parts.append(file_digest(target) if target.is_file() else "")
        parts.append(tree_digest(self._model, ("*.safetensors", "*.json")) if self._model else "")
        return digest(*parts)

    def apply(self, table: pa.Table) -> StepOutput:
        """Scores, ranks and drops."""
        import numpy as np

        chosen_among = is_train(table)
        if self.params.target is not None:
            chosen_among = chosen_among & np.array([name != self.params.target for name in _sources(table)], bool)
        place = np.flatnonzero(chosen_among)
        if not len(place):
            return drop_rows(self.name, table, {}, lambda row: {})
        among = table.take(pa.array(place))
        ids = among.column("id").to_pylist()
        ranked, scores = self._ranked(table, among, ids)
        kept = self._within_budget(ranked, self._costs(among), len(ids))
        gone = sorted(set(range(len(ids))) - set(kept))
        self._said.append(f"{len(kept):,} of {len(ids):,} rows selected by {self.params.by}")
        at = {int(place[k]): k for k in gone}
        known = {k: rank for rank, k in enumerate(ranked)} if isinstance(ranked, list) else {}

        def evidence(row: int) -> dict[str, Any]:
            k, made = at[row], {"by": self.params.by, "selected": len(kept), "of": len(ids)}
            if k in known:
                made["rank"] = known[k] + 1
            return made if scores is None or scores[k] is None else {**made, "score": round(float(scores[k]), 4)}

        return drop_rows(self.name, table, dict.fromkeys(at, "not_selected"), evidence)

    def _ranked(self, table: pa.Table, among: pa.Table, ids: list[str]) -> tuple[Iterable[int], Any]:
        """Rows from best to worst, and their scores where they have any."""
        import numpy as np
        import pyarrow.compute as pc

        if self.params.by == "loss":
            return self._by_loss(among, ids)
        texts = pc.fill_null(view(among, self.params.on), "")
        if self.params.by == "diversity":
            # In the order of their lots: equally far rows are taken by lot, wherever they stand.
            order = sorted(range(len(ids)), key=lambda k: (lot(self.seed, ids[k]), ids[k]))
            return (order[row] for row, _ in k_centres(self._vectors(texts)[order], 0)), None
        target = self._target(table)
        if self._encoder is None:
            weights = importance(texts, target)
            # Gumbel noise makes the top of the list a sample without replacement (the paper's section 3).
            draws = np.array([int.from_bytes(lot(self.seed, id), "big") + 0.5 for id in ids]) / 2**64
            keys = weights - np.log(-np.log(draws))
        else:
            weights = self._vectors(texts) @ self._vectors(target).mean(axis=0)
            keys = weights
        return sorted(range(len(ids)), key=lambda k: (-keys[k], ids[k])), weights

    def _by_loss(self, among: pa.Table, ids: list[str]) -> tuple[list[int], Any]:
        from datakit.filters.loss import answer_losses

        rows = among.select(["messages", "text"]).to_pylist()
        losses = answer_losses(rows, self._model) if self._model else []
        known = sorted((k for k in range(len(ids)) if losses[k] is not None), key=lambda k: (losses[k], ids[k]))
        if self.params.prefer == "high":
            known.reverse()
        elif self.params.prefer == "middle":
            middle = (len(known) - 1) / 2
            order = sorted(range(len(known)), key=lambda rank: (abs(rank - middle), rank))
            known = [known[rank] for rank in order]
        return known + [k for k in range(len(ids)) if losses[k] is None], losses

    def _target(self, table: pa.Table) -> pa.Array:
        import pyarrow.compute as pc

        name = str(self.params.target)
        rows = table.filter(pc.equal(table.column("source"), name))
        if rows.num_rows:
            return pc.fill_null(view(rows, self.params.on), "")
        file = self.context.folder / name
        if not file.is_file():
            raise StepError(f"select: target '{name}' is neither a source of the recipe nor a file", where=file)
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        if not lines:
            raise StepError("select: the target file is empty", where=file)
        return pa.array(lines, pa.string())

    def _vectors(self, texts: pa.Array) -> Any:
        import numpy as np

        if self._encoder is None:
            return hashed_vectors(texts)
        made = np.asarray(self._encoder(texts.to_pylist()), dtype=np.float32)
        if made.ndim != 2 or len(made) != len(texts) or not np.isfinite(made).all():
            raise StepError(f"select: the encoder '{self.params.encoder}' gives no finite vector for each text")
        return made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-9)

    def _costs(self, among: pa.Table) -> list[int]:
        if self._tokenizer is None:
            return [1] * among.num_rows
        return [count or 0 for count in self._tokenizer.counts(view(among, "auto").to_pylist())]

    def _within_budget(self, ranked: Iterable[int], costs: list[int], rows: int) -> list[int]:
        """The first ones that fit; a row larger than the whole budget is passed over, the next too large ends it."""
        budget, kept = self.params.rows or self.params.tokens or 0, list[int]()
        left: float = budget if rows and sum(costs) > budget else math.inf
        for k in ranked:
            if costs[k] > budget < sum(costs):
                continue
            if costs[k] > left:
                break
            kept.append(k)
            left -= costs[k]
            if not left:
                break
        return kept

    def notes(self) -> list[str]:
        """How many rows were selected."""
        return list(self._said)


def _sources(table: pa.Table) -> list[str]:
    names: list[str] = table.column("source").to_pylist()
    return names


def _encoder(name: str) -> Any:
    module, colon, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute) if colon else EMBEDDERS.load(name)
    except (ImportError, AttributeError) as error:
        raise StepError(f"select: the encoder '{name}' cannot be loaded: {error}") from None
    if isinstance(found, type) or (callable(found) and not hasattr(found, "encode") and not colon):
        found = found()
    encode = getattr(found, "encode", found)
    if not callable(encode):
        raise StepError(f"select: the encoder '{name}' has no encode and is no function")
    return encode


def _model_folder(name: str, context: StepContext) -> Path:
    if (context.folder / name).is_dir():
        return find_model(context.folder / name)
    return Path(_MODELS.load(name)()) if name in _MODELS.names() else find_model(name, offline=context.offline)
