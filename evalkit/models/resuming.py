"""Any model, asked in portions whose answers are on the disk before the next: a killed evaluation goes on.

Import it inside functions: lm-eval is imported here.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lm_eval.api.model import LM

from datakit.core.hashing import json_digest
from evalkit.journal import Journal
from evalkit.models.facts import RequestFacts

__all__ = ["Resuming"]

#: Requests of the first portion; later ones grow or shrink to take about so many seconds.
_FIRST, _SECONDS = 256, 20.0


class Resuming(LM):  # type: ignore[misc]
    """Answers from the journal where it has them, else from the model.

    Args:
        inner: An LM of lm-eval with ``prepare`` and ``facts``.
        journal: Of this model on this task.
        portion: Requests asked at once at first.
    """

    def __init__(self, inner: Any, journal: Journal, *, portion: int = _FIRST) -> None:
        super().__init__()
        self.inner = inner
        self.journal = journal
        self.portion = portion

    def __getattr__(self, name: str) -> Any:
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def _answer(self, kind: str, requests: Sequence[Any]) -> list[Any]:
        names = _names(kind, requests)
        facts = self.inner.facts
        missing = [at for at, name in enumerate(names) if name not in self.journal.known]
        answers = {at: self.journal.known[name] for at, name in enumerate(names) if name in self.journal.known}
        for at, record in answers.items():
            request = requests[at]
            facts.requests[request.doc_id, request.idx] = RequestFacts(record["n_tokens"], record["finished"])
            facts.cut_contexts += record.get("cut", 0)
        while missing:
            now, missing = missing[: self.portion], missing[self.portion :]
            started, cut = time.perf_counter(), facts.cut_contexts
            values = getattr(self.inner, kind)([requests[at] for at in now])
            records = []
            for at, value in zip(now, values, strict=True):
                known = facts.requests[requests[at].doc_id, requests[at].idx]
                value = list(value) if isinstance(value, tuple) else value
                record = {"request": names[at], "value": value, "n_tokens": known.n_tokens, "finished": known.finished}
                answers[at] = record
                records.append(record)
            if records and facts.cut_contexts > cut:
                records[0]["cut"] = facts.cut_contexts - cut
            self.journal.append(records)
            took = max(time.perf_counter() - started, 1e-3)
            self.portion = max(16, int(self.portion * min(8.0, max(0.25, _SECONDS / took))))
        return [answers[at]["value"] for at in range(len(requests))]

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Of the model's, in portions."""
        return [(value[0], value[1]) for value in self._answer("loglikelihood", requests)]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Of the model's, in portions."""
        return self._answer("loglikelihood_rolling", requests)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Of the model's, in portions."""
        return self._answer("generate_until", requests)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The model's."""
        text: str = self.inner.apply_chat_template(chat_history, add_generation_prompt=add_generation_prompt)
        return text

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The model's."""
        template: str | None = self.inner.chat_template(chat_template)
        return template

    @property
    def tokenizer_name(self) -> str:
        """The model's."""
        return str(self.inner.tokenizer_name)


def _names(kind: str, requests: Sequence[Any]) -> list[str]:
    """A hash of kind and arguments, and the turn among equal requests: a task that samples asks one several times."""
    seen: Counter[str] = Counter()
    names = []
    for request in requests:
        name = json_digest([kind, *map(_plain, request.args)])
        names.append(f"{name}-{seen[name]}")
        seen[name] += 1
    return names


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | dict) else str(value)
