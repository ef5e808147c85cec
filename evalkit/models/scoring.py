"""Log-likelihoods of continuations under a causal model: beginnings shared, rows sorted by length, batched by tokens.

What all requests begin with is computed once (see ``shared_prefix``), what some begin with once per row (see ``rows``).
Rows are padded on the right. In a causal model what stands to the right of a token does not reach it, so a row of one
branch needs no attention mask; rows of several branches have one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from datakit.core.adapters import reads_prompts
from evalkit.errors import EvalError
from evalkit.models.last_layer import last_layer, only_here
from evalkit.models.rows import Row, Sequenced, common_prefix, plan_rows, sequences
from evalkit.models.scored import log_probabilities, only_at
from evalkit.models.shared_prefix import RowPrefixes, SharedPrefix, worth_sharing

__all__ = ["Scorer"]

Ids = list[int]
Array = np.ndarray[Any, Any]
#: Lines of a batch and places in them.
Scored = tuple[Array, Array]
#: Elements of all logits of a forward pass.
_LOGITS = 1 << 28
#: Trunks from this length are computed in a pass of their own: causal attention without a mask does half the work.
_TRUNK = 64
#: What packed and plain rows may differ by on the trial, in nats: rounding in float32, and in 16 bits.
_ROUNDING, _ROUNDING_16 = 2e-4, 0.1


class Scorer:
    """Scores token sequences with one model.

    Args:
        model: A causal language model of transformers (or PEFT around one).
        device: Where it lies.
        max_length: Tokens the model takes at once.
        batch_tokens: Rows times length of one forward pass; halved when memory runs out.
        pack: Whether continuations of one context may share a row; tried out on the model before it is done, since
            some models (ALiBi, sliding windows, recurrent ones) do not take positions and masks from outside.
    """

    def __init__(self, model: Any, *, device: str, max_length: int, batch_tokens: int, pack: bool = True) -> None:
        self.model = model
        self.device = device
        self.max_length = max_length
        self.batch_tokens = batch_tokens
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._head = base.get_output_embeddings()
        self._vocabulary = int(self._head.weight.shape[0])
        self._from = _TRUNK
        shares = pack and _plain_attention(base.config) and not reads_prompts(model)
        self._last = None if reads_prompts(model) else last_layer(base)
        self._tried = False
        self._pack: bool | None = None if shares else False

    @property
    def packs(self) -> bool:
        """Whether contexts are shared among continuations of several tokens; found out on first use."""
        if self._pack is None:
            self._pack = self._sharing_is_exact()
        return self._pack

    def score(
        self, pairs: Sequence[tuple[Ids, Ids]], *, done: Callable[[int], None] | None = None
    ) -> tuple[list[tuple[float, bool]], int]:
        """Log-likelihood of each continuation and whether greedy decoding would give it.

        Args:
            pairs: ``(context_ids, continuation_ids)``; what is too long loses context from the left.
            done: Called with the number of requests a batch has finished.

        Returns:
            One ``(log-likelihood in nats, is greedy)`` per pair, and how many contexts were cut.

        Raises:
            EvalError: A continuation longer than the model's window, a NaN, or memory too small for one row.
        """
        longest = max((len(continuation) for _, continuation in pairs), default=0)
        if longest > self.max_length:
            raise EvalError(
                f"a continuation has {longest} tokens; the model takes {self.max_length}",
                hint="Use loglikelihood_rolling for long texts",
            )
        if not self._tried:
            self._tried = True
            self._last = self._last if self._last_is_exact() else None
        targets = [continuation for _, continuation in pairs]
        asked = sequences(pairs, max_length=self.max_length)
        result: list[tuple[float, bool]] = [(0.0, True)] * len(pairs)
        for members, prefix in self._parts(asked):
            rows = plan_rows(
                members,
                max_length=self.max_length,
                pack=self.packs,
                prefix=prefix.length if prefix else 0,
                apart=hasattr(self.model, "reft"),
            )
            for kind in _kinds(rows, self._from):
                at = 0
                while at < len(kind):
                    batch = kind[at : at + self._batch_size(kind, at)]
                    found = self._with_memory(batch, targets, prefix)
                    if found is None:
                        continue
                    for request, value in found:
                        result[request] = value
                    at += len(batch)
                    if done is not None:
                        done(len(found))
        return result, sum(one.cut > 0 for one in asked)

    def _parts(self, asked: Sequence[Sequenced]) -> list[tuple[Sequence[Sequenced], SharedPrefix | None]]:
        """The requests that share their beginning, with its keys and values, and the others."""
        whole = [one for one in asked if not one.cut]
        length = common_prefix(whole)
        if not (worth_sharing(length, len(whole)) and self.packs):
            return [(asked, None)]
        prefix = SharedPrefix(self.model, whole[0].ids[:length], device=self.device)
        return [(whole, prefix), ([one for one in asked if one.cut], None)]

    def _batch_size(self, rows: Sequence[Row], at: int) -> int:
        width = len(rows[at].ids)
        scored = max(1, sum(len(places) for places in rows[at].requests.values()))
        return max(1, min(self.batch_tokens // width, _LOGITS // (scored * self._vocabulary)))

    def _with_memory(
        self, batch: Sequence[Row], targets: Sequence[Ids], prefix: SharedPrefix | None
    ) -> list[tuple[int, tuple[float, bool]]] | None:
        """The batch's results; None where memory ran out and the batch must be smaller."""
        import torch

        try:
            return list(self._forward(batch, targets, prefix))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            size = len(batch[0].ids)
            if len(batch) == 1:
                raise EvalError(f"out of memory with one row of {size} tokens", hint="Use a larger device") from None
            self.batch_tokens = max(1, len(batch) * size // 2)
            return None

    def _forward(
        self, batch: Sequence[Row], targets: Sequence[Ids], prefix: SharedPrefix | None = None
    ) -> Iterator[tuple[int, tuple[float, bool]]]:
        owners = [request for row in batch for request in row.requests]
        wanted = np.concatenate([targets[request] for request in owners])
        places = np.concatenate([place for row in batch for place in row.requests.values()])
        sizes = np.array([len(targets[request]) for request in owners], dtype=np.intp)
        lines = np.repeat([line for line, row in enumerate(batch) for _ in row.requests], sizes)
        if prefix is None and batch[0].packed and batch[0].trunk >= self._from:
            trunks = np.array([row.trunk for row in batch])
            values, greedy, _ = self._trunks_first(batch, trunks, (lines, places), wanted)
        else:
            values, greedy, _ = self._pass(self._inputs(batch, prefix), (lines, places), wanted)
        if not np.isfinite(values).all():
            raise EvalError(
                "the model gives log-probabilities that are not numbers",
                hint="Its weights hold NaN or overflow in this dtype; try dtype float32",
            )
        starts = np.cumsum(sizes) - sizes
        sums, exact = np.add.reduceat(values, starts), np.logical_and.reduceat(greedy, starts)
        for request, total, same in zip(owners, sums.tolist(), exact.tolist(), strict=True):
            yield request, (total, same)

    def _pass(self, inputs: dict[str, Any], scored: Scored, wanted: Array) -> tuple[Array, Array, Any]:
        """Log-probability of each wanted token, whether it is the most likely one, and the model's output."""
        import torch

        size = inputs["input_ids"].shape
        here = only_here(self._last, *scored, *size)
        with torch.inference_mode(), here, only_at(self._head, *scored, size[1]), _prompts(self.model, scored):
            out = self.model(**inputs)
            if out.logits.shape[:2] != (1, len(wanted)):
                raise EvalError(
                    f"{type(self.model).__name__} gives logits of the shape {tuple(out.logits.shape)}",
                    hint="Its output layer is not applied to hidden states of (lines, tokens, size)",
                )
            return *log_probabilities(out.logits[0], wanted), out

    def _trunks_first(
        self, batch: Sequence[Row], trunks: Array, scored: Scored, wanted: Array
    ) -> tuple[Array, Array, Any]:
        """The trunks in a pass without a mask, whose keys and values the branches then look at."""
        lines, places = scored
        depth = trunks[lines]
        early, late = places < depth, places >= depth
        values, greedy = np.zeros(len(wanted)), np.zeros(len(wanted), dtype=bool)
        heads, tails = zip(*(row.cut(at) for row, at in zip(batch, trunks.tolist(), strict=True)), strict=True)
        inputs = self._inputs(heads) | {"use_cache": True}
        values[early], greedy[early], out = self._pass(inputs, (lines[early], places[early]), wanted[early])
        inputs = self._inputs(tails, RowPrefixes(self.model, out, trunks))
        behind = (lines[late], (places - depth)[late])
        values[late], greedy[late], out = self._pass(inputs, behind, wanted[late])
        return values, greedy, out

    def _inputs(self, batch: Sequence[Row], prefix: SharedPrefix | RowPrefixes | None = None) -> dict[str, Any]:
        import torch

        width = max(len(row.ids) for row in batch)
        ids, branches, positions = (np.zeros((len(batch), width), dtype=np.int64) for _ in range(3))
        branches -= 1
        for line, row in enumerate(batch):
            length = len(row.ids)
            ids[line, :length], branches[line, :length], positions[line, :length] = row.ids, row.branches, row.positions
        inputs: dict[str, Any] = {"input_ids": torch.from_numpy(ids).to(self.device), "use_cache": False}
        if prefix is not None or any(row.packed for row in batch):
            own = torch.from_numpy(branches).to(self.device)
            seen = (own[:, None, :] == 0) | (own[:, None, :] == own[:, :, None])
            seen &= torch.ones(width, width, dtype=torch.bool, device=self.device).tril()
            if prefix is not None:
                seen = torch.cat([prefix.seen().expand(len(batch), width, -1), seen], dim=-1)
                inputs |= prefix.inputs()
            mask = torch.zeros(seen.shape, dtype=self.model.dtype, device=self.device)
            inputs["attention_mask"] = mask.masked_fill_(~seen, torch.finfo(self.model.dtype).min)[:, None]
            inputs["position_ids"] = torch.from_numpy(positions).to(self.device)
        return inputs

    def _last_is_exact(self) -> bool:
        """Scores made-up sequences with and without the shortened last layer, on this very model."""
        draw = np.random.default_rng(1)
        size = min(24, self.max_length // 4)
        pairs = [(draw.integers(0, self._vocabulary, size + more).tolist(), [more + 1, 2]) for more in range(3)]
        targets = [continuation for _, continuation in pairs]
        rows = plan_rows(sequences(pairs, max_length=self.max_length), max_length=self.max_length, pack=False)
        found, layer = [], self._last
        for self._last in (None, layer):
            try:
                values = dict(self._forward(rows, targets))
            except (TypeError, ValueError, RuntimeError, IndexError, AttributeError, EvalError):
                return False
            finally:
                self._last = layer
            found.append(np.array([values[request][0] for request in range(len(pairs))]))
        return bool(np.abs(found[0] - found[1]).max() <= self._rounding)

    @property
    def _rounding(self) -> float:
        import torch

        return _ROUNDING if self.model.dtype == torch.float32 else _ROUNDING_16

    def _sharing_is_exact(self) -> bool:
        """Scores a made-up item packed, packed behind cached keys and plainly, on this very model."""
        draw = np.random.default_rng(0)
        context = draw.integers(0, self._vocabulary, min(24, self.max_length // 4)).tolist()
        pairs = [(context, draw.integers(0, self._vocabulary, size).tolist()) for size in (3, 1, 4, 2)]
        targets = [continuation for _, continuation in pairs]
        asked = sequences(pairs, max_length=self.max_length)
        found: list[Array] = []
        for pack, cached, self._from in (
            (False, 0, _TRUNK),
            (True, 0, _TRUNK),
            (True, 0, 1),
            (True, len(context) // 2, 1),
        ):
            try:
                prefix = SharedPrefix(self.model, context[:cached], device=self.device) if cached else None
                rows = plan_rows(asked, max_length=self.max_length, pack=pack, prefix=cached)
                values = dict(pair for row in rows for pair in self._forward([row], targets, prefix))
            except (TypeError, ValueError, RuntimeError, IndexError, AttributeError, EvalError):
                return False
            finally:
                self._from = _TRUNK
            found.append(np.array([values[request][0] for request in range(len(pairs))]))
        return all(bool(np.abs(found[0] - other).max() <= self._rounding) for other in found[1:])


def _prompts(model: Any, scored: Scored) -> contextlib.AbstractContextManager[None]:
    """Tells a model with interventions where the prompts end: with what predicts the first scored token."""
    if not hasattr(model, "reft"):
        return contextlib.nullcontext()
    from datakit.core.reft import prompts

    first: dict[int, int] = {}
    for line, place in zip(*(part.tolist() for part in scored), strict=True):
        first[line] = min(place, first.get(line, place))
    return prompts([(line, 0, place + 1) for line, place in first.items()])


def _plain_attention(config: Any) -> bool:
    """Whether every layer looks at the whole context, with attention that takes a mask."""
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    windowed = getattr(config, "sliding_window", None) and "layer_types" not in config.to_dict()
    return (
        layers == {"full_attention"}
        and not windowed
        and not getattr(config, "attention_chunk_size", None)
        and getattr(config, "_attn_implementation", "eager") in ("sdpa", "eager")
    )


def _kinds(rows: Sequence[Row], trunk: int) -> list[list[Row]]:
    """Rows that go through the model alike: with a long trunk, with branches, and plain ones, which need no mask."""
    kinds: tuple[list[Row], list[Row], list[Row]] = ([], [], [])
    for row in rows:
        kinds[2 if not row.packed else row.trunk < trunk].append(row)
    return list(kinds)
