"""Encoders (BERT and kin) behind lm-eval's interface, by pseudo-log-likelihood. Import it inside functions.

The score of a text is the sum over its tokens of the log-probability the model gives a token when that token alone is
masked (Salazar et al. 2020, "Masked Language Model Scoring", ACL). A continuation's score is that sum over its own
tokens with the whole of context and continuation in view; it is no probability of a next token, and is compared only
with the same model's, before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from lm_eval.api.model import LM

from evalkit.errors import EvalError
from evalkit.models.facts import Facts, RequestFacts

__all__ = ["MaskedModel"]

Ids = list[int]


class MaskedModel(LM):  # type: ignore[misc]
    """Answers lm-eval's log-likelihood requests; an encoder generates nothing.

    Args:
        model: A masked language model of transformers (or PEFT around one), in evaluation mode.
        tokenizer: Its fast tokenizer.
        batch_tokens: Rows times length of one forward pass.
        done: Called with the number of requests that are finished.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, batch_tokens: int | None = None, done: Callable[[int], None] | None = None
    ) -> None:
        super().__init__()
        if tokenizer.mask_token_id is None:
            raise EvalError(
                "the tokenizer has no mask token", hint="An encoder is scored by masking each token in turn"
            )
        self.model = model
        self.tokenizer = tokenizer
        self.done = done
        self.facts = Facts()
        self._device = str(model.device)
        self.batch_tokens = batch_tokens or (4096 if self._device == "cpu" else 65_536)
        config = model.config
        longest = getattr(config, "max_position_embeddings", 512)
        if "roberta" in config.model_type:
            # Positions are counted from behind the padding index.
            longest -= config.pad_token_id + 1
        self.max_length = min(longest, tokenizer.model_max_length)
        self._before, self._after = _around(tokenizer)
        self.room = self.max_length - len(self._before) - len(self._after)

    def prepare(self, task: Any) -> None:
        """Forgets the facts of the task before."""
        self.facts = Facts()

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Pseudo-log-likelihood of each continuation, and whether each of its tokens is the likeliest in its place."""
        rows: list[tuple[int, Ids, int]] = []
        found: list[Any] = []
        for request in requests:
            ids, places, cut = self._encode(*request.args)
            self.facts.cut_contexts += cut
            self.facts.requests[request.doc_id, request.idx] = RequestFacts(n_tokens=len(places))
            rows += [(len(found), ids, place) for place in places]
            found.append(request)
        values, greedy = self._masked(rows)
        sums, exact = [0.0] * len(found), [True] * len(found)
        for (owner, _, _), value, same in zip(rows, values, greedy, strict=True):
            sums[owner] += value
            exact[owner] &= same
        return list(zip(sums, exact, strict=True))

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Pseudo-log-likelihood of documents, cut into windows that do not overlap."""
        rows: list[tuple[int, Ids, int]] = []
        for owner, request in enumerate(requests):
            ids = self.tokenizer(request.args[0], add_special_tokens=False, verbose=False)["input_ids"]
            for at in range(0, len(ids), self.room):
                part = ids[at : at + self.room]
                window = [*self._before, *part, *self._after]
                rows += [(owner, window, len(self._before) + place) for place in range(len(part))]
            self.facts.requests[request.doc_id, request.idx] = RequestFacts(n_tokens=len(ids))
        totals = [0.0] * len(requests)
        for (owner, _, _), value in zip(rows, self._masked(rows)[0], strict=True):
            totals[owner] += value
        return totals

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """An encoder does not generate.

        Raises:
            EvalError: Always.
        """
        raise EvalError(
            "an encoder generates no text, and this task asks for some",
            hint="Take tasks with options or drift tasks into the suite, or a causal model",
        )

    def _encode(self, context: str, continuation: str) -> tuple[Ids, list[int], bool]:
        """Ids of the whole text with special tokens, and the places of the continuation's tokens."""
        whole = self.tokenizer(
            context + continuation, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        ids = list(whole["input_ids"])
        own = [at for at, (_, end) in enumerate(whole["offset_mapping"]) if end > len(context)]
        if not own:
            raise EvalError(f"the answer {continuation!r} has no token of its own", hint="An option must not be empty")
        excess = max(0, len(ids) - self.room)
        if excess > own[0]:
            raise EvalError(f"a continuation has {len(own)} tokens; the model takes {self.max_length}")
        shift = len(self._before) - excess
        return [*self._before, *ids[excess:], *self._after], [shift + at for at in own], excess > 0

    def _masked(self, rows: Sequence[tuple[int, Ids, int]]) -> tuple[list[float], list[bool]]:
        """Log-probability of the token at each row's place when it is masked, and whether it is the likeliest."""
        import torch

        values, greedy = [0.0] * len(rows), [True] * len(rows)
        order = sorted(range(len(rows)), key=lambda at: -len(rows[at][1]))
        at = 0
        while at < len(order):
            width = len(rows[order[at]][1])
            batch = order[at : at + max(1, self.batch_tokens // width)]
            ids = np.full((len(batch), width), self.tokenizer.pad_token_id or 0, dtype=np.int64)
            mask = np.zeros((len(batch), width), dtype=np.int64)
            for line, row in enumerate(batch):
                tokens = rows[row][1]
                ids[line, : len(tokens)], mask[line, : len(tokens)] = tokens, 1
            places = np.array([rows[row][2] for row in batch])
            lines = np.arange(len(batch))
            goal = torch.from_numpy(ids[lines, places].copy()).to(self.model.device)
            ids[lines, places] = self.tokenizer.mask_token_id
            with torch.inference_mode():
                logits = self.model(
                    input_ids=torch.from_numpy(ids).to(self.model.device),
                    attention_mask=torch.from_numpy(mask).to(self.model.device),
                ).logits[torch.from_numpy(lines), torch.from_numpy(places)]
            logits = logits.float()
            own = (logits.gather(1, goal[:, None])[:, 0] - logits.logsumexp(-1)).double().cpu().numpy()
            if not np.isfinite(own).all():
                raise EvalError("the model gives log-probabilities that are not numbers")
            same = (logits.argmax(-1) == goal).cpu().tolist()
            for row, value, hit in zip(batch, own.tolist(), same, strict=True):
                values[row], greedy[row] = value, hit
            at += len(batch)
            if self.done is not None:
                self.done(len({rows[row][0] for row in batch}))
        return values, greedy

    @property
    def tokenizer_name(self) -> str:
        """Only used by lm-eval for a cache that is switched off."""
        return str(self.tokenizer.name_or_path).replace("/", "__")


def _around(tokenizer: Any) -> tuple[Ids, Ids]:
    """Special tokens that the tokenizer puts before and behind a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    start = next(at for at in range(len(whole)) if whole[at : at + len(bare)] == bare)
    return whole[:start], whole[start + len(bare) :]
