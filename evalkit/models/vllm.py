"""``vllm:FOLDER``: lm-eval's own vLLM class, where vLLM is installed; answers are its own, facts are counted by us."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datakit.core.chat import ChatSettings
from datakit.core.checkpoint import find_model, load_tokenizer
from evalkit.models.checkpoint import tokenizer_digest, weights_digest
from evalkit.models.foreign import Foreign

__all__ = ["vllm"]


def vllm(reference: str, chat: ChatSettings) -> Foreign:
    """A model folder served by vLLM inside this process.

    Raises:
        MissingDependency: vLLM is not installed.
        ModelError: No model there.
    """
    folder = find_model(Path(reference.partition(":")[2]))
    tokenizer = load_tokenizer(folder)
    return Foreign(
        lambda: _make(folder, tokenizer, chat),
        (weights_digest(folder), tokenizer_digest(folder)),
        tokenizer,
        device="vllm",
    )


def _make(folder: Path, tokenizer: Any, chat: ChatSettings) -> Any:
    import importlib.util

    from datakit.core.errors import MissingDependency

    if importlib.util.find_spec("vllm") is None:
        raise MissingDependency("this needs vllm, which is not installed", hint="pip install vllm (on a GPU machine)")
    from lm_eval.models.vllm_causallms import VLLM

    from evalkit.models.facts import Facts, RequestFacts

    class Counted(VLLM):  # type: ignore[misc]
        """lm-eval's class with the facts that a log needs."""

        batch_tokens = 0
        done: Any = None

        def prepare(self, task: Any) -> None:
            """Forgets the facts of the task before."""
            self.facts = Facts()

        def _count(self, requests: Sequence[Any], texts: Sequence[str]) -> None:
            for request, text in zip(requests, texts, strict=True):
                size = len(tokenizer(text, add_special_tokens=False)["input_ids"])
                self.facts.requests[request.doc_id, request.idx] = RequestFacts(size)
            if self.done is not None:
                self.done(len(requests))

        def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> Any:
            found = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
            self._count(requests, [request.args[1] for request in requests])
            return found

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> Any:
            found = super().loglikelihood_rolling(requests, disable_tqdm=disable_tqdm)
            self._count(requests, [request.args[0] for request in requests])
            return found

        def generate_until(self, requests: Any, disable_tqdm: bool = True) -> Any:
            found = super().generate_until(requests, disable_tqdm=disable_tqdm)
            self._count(requests, found)
            return found

    return Counted(pretrained=str(folder), batch_size="auto", enable_thinking=chat.thinking)
