"""A causal language model of transformers behind lm-eval's interface. Import it inside functions: it needs torch.

Tokens come from ``datakit.core.chat``'s rules, so the model sees what it was trained on. lm-eval's own cache of
requests is not used: it is not keyed by the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lm_eval.api.model import LM

from datakit.core.chat import ChatSettings
from evalkit.models.facts import Facts, RequestFacts
from evalkit.models.generation import Generator
from evalkit.models.scoring import Scorer
from evalkit.models.tokens import encode_pairs, prefix_id, rolling_windows, tokenize_all

__all__ = ["HFModel", "batch_budget"]


def batch_budget(device: str) -> int:
    """Tokens of one forward pass: on the CPU what stays in its caches, on a GPU what fills it."""
    return 2048 if device == "cpu" else 32_768


class HFModel(LM):  # type: ignore[misc]
    """Answers lm-eval's requests.

    Args:
        model: A causal language model of transformers (or PEFT around one), in evaluation mode.
        tokenizer: Its fast tokenizer.
        chat: Rendering of general tasks, equal on both sides of a comparison.
        batch_tokens: Rows times length of one forward pass; from the device where None.
        done: Called with the number of requests that a batch has finished.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        chat: ChatSettings,
        batch_tokens: int | None = None,
        done: Callable[[int], None] | None = None,
    ) -> None:
        from lm_eval.models.utils import resolve_max_length

        super().__init__()
        self._device = str(model.device)
        self.tokenizer = tokenizer
        self.chat = chat
        self.done = done
        self.facts = Facts()
        self.max_length: int = resolve_max_length(model.config, tokenizer)
        self.batch_tokens = batch_tokens or batch_budget(self._device)
        size = {"device": self._device, "max_length": self.max_length, "batch_tokens": self.batch_tokens}
        self._scorer = Scorer(model, **size)
        self._generator = Generator(model, tokenizer, chat=chat, **size)

    def prepare(self, task: Any) -> None:
        """Forgets the facts of the task before."""
        self.facts = Facts()

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Log-likelihood of each continuation given its context, and whether it is the greedy one."""
        pairs = encode_pairs([request.args for request in requests], self.tokenizer)
        values, cut = self._scorer.score(pairs, done=self.done)
        self.facts.cut_contexts += cut
        for request, (_, ids) in zip(requests, pairs, strict=True):
            self.facts.requests[request.doc_id, request.idx] = RequestFacts(n_tokens=len(ids))
        return values

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Log-likelihood of whole documents, in windows where they are longer than the model's."""
        prefix = prefix_id(self.tokenizer)
        texts = [request.args[0] for request in requests]
        ids = tokenize_all(texts, self.tokenizer)
        windows, owners = [], []
        for owner, text in enumerate(texts):
            own = rolling_windows(ids[text], prefix=prefix, size=self.max_length)
            windows += own
            owners += [owner] * len(own)
        values, _ = self._scorer.score(windows, done=self.done)
        totals, counts = [0.0] * len(texts), [0] * len(texts)
        for owner, (_, goal), (value, _) in zip(owners, windows, values, strict=True):
            totals[owner] += value
            counts[owner] += len(goal)
        for request, count in zip(requests, counts, strict=True):
            self.facts.requests[request.doc_id, request.idx] = RequestFacts(n_tokens=count)
        return totals

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answers up to a stop string, an end token or the limit."""
        answers, cut = self._generator.generate([request.args for request in requests])
        self.facts.cut_contexts += cut
        for request, answer in zip(requests, answers, strict=True):
            self.facts.requests[request.doc_id, request.idx] = RequestFacts(answer.n_tokens, answer.finished)
        return [answer.text for answer in answers]

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """lm-eval's turns in the tokenizer's template, with our thinking switch."""
        text: str = self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
            enable_thinking=self.chat.thinking,
        )
        return text

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The tokenizer's template."""
        return self.tokenizer.chat_template if chat_template else None

    @property
    def tokenizer_name(self) -> str:
        """Only used by lm-eval for a cache that is switched off."""
        return str(self.tokenizer.name_or_path).replace("/", "__")
