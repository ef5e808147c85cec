"""A model without weights, for dry runs and tests: deterministic, and right or wrong on request.

Names: ``mock`` (log-likelihoods and answers drawn from a hash of the request), ``mock:right``, ``mock:wrong``.
Import it inside functions: lm-eval is imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lm_eval.api.model import LM

from datakit.core.hashing import digest
from evalkit.errors import EvalError
from evalkit.models.facts import Facts, RequestFacts

__all__ = ["KINDS", "MockModel"]

KINDS = ("mock", "mock:right", "mock:wrong")


class MockModel(LM):  # type: ignore[misc]
    """Answers lm-eval's requests without a language model.

    Args:
        kind: One of :data:`KINDS`.
        seed: Another seed, another model.
    """

    tokenizer = None

    def __init__(self, kind: str = "mock", *, seed: int = 0) -> None:
        if kind not in KINDS:
            raise EvalError(f"no mock model '{kind}'", hint=f"Known: {', '.join(KINDS)}")
        super().__init__()
        self._device = "cpu"
        self.right = {"mock": None, "mock:right": True, "mock:wrong": False}[kind]
        self.seed = seed
        self.batch_tokens = 0
        self.done: Any = None
        self.facts = Facts()
        self._task: Any = None

    def prepare(self, task: Any) -> None:
        """Keeps the task, to know what is right."""
        self.facts, self._task = Facts(), task

    def _draw(self, *parts: str) -> float:
        return int(digest("mock", self.seed, *parts)[:8], 16) / 0xFFFFFFFF

    def _gold(self, request: Any) -> bool:
        task = self._task
        gold = task.doc_to_text(request.doc) if getattr(task, "multiple_input", 0) else task.doc_to_target(request.doc)
        if isinstance(gold, list):
            return request.idx in gold
        return bool(request.idx == gold) if isinstance(gold, int) else request.args[1].strip() == str(gold).strip()

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Between -11 and -1; the right option first or last on request."""
        found = []
        for request in requests:
            value = -1.0 - 10.0 * self._draw(*map(str, request.args))
            if self.right is not None and self._gold(request):
                value = 0.0 if self.right else -100.0
            found.append((value, value == 0.0))
            self._keep(request, str(request.args[1]))
        return found

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """About two nats a word."""
        for request in requests:
            self._keep(request, request.args[0])
        words = [max(1, len(request.args[0].split())) for request in requests]
        draws = [self._draw(request.args[0]) for request in requests]
        return [-count * (1.5 + draw) for count, draw in zip(words, draws, strict=True)]

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """The right answer, a wrong one, or one of both."""
        found = []
        for request in requests:
            right = self.right if self.right is not None else self._draw(request.args[0]) < 0.5
            target = self._task.doc_to_target(request.doc)
            target = target[0] if isinstance(target, list) and target else target
            found.append(str(target) if right else "mock")
            self._keep(request, found[-1])
        return found

    def _keep(self, request: Any, text: str) -> None:
        self.facts.requests[request.doc_id, request.idx] = RequestFacts(max(1, len(text.split())))
