"""Log-likelihoods of continuations under a causal model: inputs shared, sorted by length, batched to a token budget.

Inputs are padded on the right and carry no attention mask: in a causal model what stands to the right of a token does
not reach it, so every input is scored exactly as if it stood alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evalkit.errors import EvalError

__all__ = ["Scorer", "share_prefixes"]

Ids = list[int]
#: Elements of one block of float32 logits turned into log-probabilities at a time (256 MiB).
_BLOCK = 1 << 26
#: Elements of all logits of one forward pass.
_LOGITS = 1 << 28


@dataclass(slots=True)
class _Row:
    """One input of a forward pass; ``requests`` are (request, position of its first prediction)."""

    ids: tuple[int, ...]
    requests: list[tuple[int, int]]


def share_prefixes(inputs: Sequence[tuple[tuple[int, ...], int]]) -> list[_Row]:
    """Puts requests whose input is a prefix of another's (or equal) into that one's row.

    Args:
        inputs: Per request its input ids and the position of its first prediction.

    Returns:
        Rows, longest first. The options of a multiple-choice item that have one token each share one row.
    """
    order = sorted(range(len(inputs)), key=lambda request: inputs[request][0], reverse=True)
    rows: list[_Row] = []
    for request in order:
        ids, start = inputs[request]
        # In descending lexicographic order whatever has this input as its prefix came directly before it.
        if rows and rows[-1].ids[: len(ids)] == ids:
            rows[-1].requests.append((request, start))
        else:
            rows.append(_Row(ids, [(request, start)]))
    rows.sort(key=lambda row: -len(row.ids))
    return rows


class Scorer:
    """Scores token sequences with one model.

    Args:
        model: A causal language model of transformers (or PEFT around one).
        device: Where it lies.
        max_length: Tokens the model takes at once.
        batch_tokens: Rows times length of one forward pass; halved when memory runs out.
    """

    def __init__(self, model: Any, *, device: str, max_length: int, batch_tokens: int) -> None:
        import inspect

        self.model = model
        self.device = device
        self.max_length = max_length
        self.batch_tokens = batch_tokens
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._keeps = "logits_to_keep" in inspect.signature(base.forward).parameters
        self._vocabulary = int(base.get_output_embeddings().weight.shape[0])

    def score(
        self,
        pairs: Sequence[tuple[Ids, Ids]],
        *,
        done: Callable[[int], None] | None = None,
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
        inputs: list[tuple[tuple[int, ...], int]] = []
        cut = 0
        for context, continuation in pairs:
            if len(continuation) > self.max_length:
                raise EvalError(
                    f"a continuation has {len(continuation)} tokens; the model takes {self.max_length}",
                    hint="Use loglikelihood_rolling for long texts",
                )
            whole = context + continuation
            cut += len(whole) > self.max_length + 1
            ids = tuple(whole[-(self.max_length + 1) :][:-1])
            inputs.append((ids, len(ids) - len(continuation)))
        targets = [continuation for _, continuation in pairs]
        result: list[tuple[float, bool]] = [(0.0, True)] * len(pairs)
        rows = share_prefixes(inputs)
        at = 0
        while at < len(rows):
            batch = self._next_batch(rows, at)
            found = self._with_memory(batch, targets)
            if found is None:
                continue
            for request, value in found:
                result[request] = value
            at += len(batch)
            if done is not None:
                done(len(found))
        return result, cut

    def _next_batch(self, rows: Sequence[_Row], at: int) -> Sequence[_Row]:
        width = len(rows[at].ids)
        tokens = max(self.batch_tokens, width)
        first = min(start for _, start in rows[at].requests) if self._keeps else 0
        per_row = max(1, (width - first) * self._vocabulary)
        return rows[at : at + max(1, min(tokens // width, _LOGITS // per_row))]

    def _with_memory(
        self, batch: Sequence[_Row], targets: Sequence[Ids]
    ) -> list[tuple[int, tuple[float, bool]]] | None:
        import torch

        try:
            return list(self._forward(batch, targets))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            if len(batch) == 1:
                raise EvalError(
                    f"out of memory with a single sequence of {len(batch[0].ids)} tokens", hint="Use a larger device"
                ) from None
            self.batch_tokens = max(1, len(batch) * len(batch[0].ids) // 2)
            return None

    def _forward(self, batch: Sequence[_Row], targets: Sequence[Ids]) -> Iterator[tuple[int, tuple[float, bool]]]:
        import torch

        width = len(batch[0].ids)
        padded = np.zeros((len(batch), width), dtype=np.int64)
        owners: list[int] = []
        wanted: list[int] = []
        places: list[np.ndarray[Any, Any]] = []
        lines: list[int] = []
        for line, row in enumerate(batch):
            padded[line, : len(row.ids)] = row.ids
            for request, start in row.requests:
                goal = targets[request]
                owners.append(request)
                wanted += goal
                places.append(np.arange(start, start + len(goal)))
                lines += [line] * len(goal)
        counts = [len(targets[request]) for request in owners]
        position = np.concatenate(places)
        first = int(position.min()) if self._keeps else 0
        extra = {"logits_to_keep": width - first} if self._keeps else {}
        with torch.inference_mode():
            ids = torch.from_numpy(padded).to(self.device)
            logits = self.model(input_ids=ids, use_cache=False, **extra).logits
            values, greedy = _pick(logits, np.array(lines), position - first, np.array(wanted))
        if not np.isfinite(values).all():
            raise EvalError(
                "the model gives log-probabilities that are not numbers",
                hint="Its weights hold NaN or overflow in this dtype; try dtype float32",
            )
        sizes = np.array(counts, dtype=np.intp)
        starts = np.cumsum(sizes) - sizes
        sums = np.add.reduceat(values, starts)
        exact = np.logical_and.reduceat(greedy, starts)
        for request, total, same in zip(owners, sums.tolist(), exact.tolist(), strict=True):
            yield request, (total, same)


def _pick(
    logits: Any, lines: np.ndarray[Any, Any], position: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Log-probability of each wanted token and whether it is the most likely one, block by block in float32."""
    import torch

    values, greedy = [], []
    step = max(1, _BLOCK // logits.shape[-1])
    for at in range(0, len(wanted), step):
        part = slice(at, at + step)
        goal = torch.from_numpy(wanted[part]).to(logits.device)
        chosen = logits[torch.from_numpy(lines[part]), torch.from_numpy(position[part])].float()
        own = chosen.gather(1, goal[:, None])[:, 0]
        values.append((own - chosen.logsumexp(-1)).double().cpu().numpy())
        greedy.append((chosen.argmax(-1) == goal).cpu().numpy())
    return np.concatenate(values), np.concatenate(greedy)
