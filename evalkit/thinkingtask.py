"""lm-eval's task behind ``thinking``. Import it inside functions: lm-eval is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean
from lm_eval.api.task import Task
from lm_eval.config.task import TaskConfig

from datakit.core.chat import is_chat, render_prompt
from evalkit.source import Setup
from evalkit.thinking import thought_is_closed

__all__ = ["ThinkingTask"]


class ThinkingTask(Task):  # type: ignore[misc]
    """Asks each prompt with thinking on.

    Args:
        prompts: User turns.
        setup: Tokenizer and chat settings.
        tokens: Room for thought and answer.
    """

    VERSION = 1
    OUTPUT_TYPE = "generate_until"

    def __init__(self, prompts: Sequence[str], setup: Setup, *, tokens: int) -> None:
        self.tokenizer = setup.tokenizer
        self.chat = setup.chat.model_copy(update={"thinking": True})
        self.cut = setup.chat.thinking and is_chat(setup.tokenizer, setup.chat)
        self.docs = [{"question": prompt} for prompt in prompts]
        super().__init__(config={"task": "task", "num_fewshot": 0})
        self._config.generation_kwargs = {"do_sample": False, "until": [], "max_gen_toks": tokens}

    def download(self, *args: Any, **kwargs: Any) -> None:
        """The prompts are here."""

    def has_training_docs(self) -> bool:
        """Nothing but the test split."""
        return False

    has_validation_docs = has_training_docs

    def has_test_docs(self) -> bool:
        """The prompts."""
        return True

    def test_docs(self) -> list[dict[str, Any]]:
        """The prompts as documents."""
        return self.docs

    def doc_to_text(self, doc: dict[str, Any]) -> str:
        """The rendered prompt."""
        return render_prompt([{"role": "user", "content": doc["question"]}], self.tokenizer, self.chat)

    def doc_to_target(self, doc: dict[str, Any]) -> str:
        """Any answer will do."""
        return ""

    def doc_to_prefix(self, doc: dict[str, Any]) -> None:
        """Answers begin with nothing."""

    def fewshot_context(self, doc: dict[str, Any], num_fewshot: int = 0, **_: Any) -> str:
        """The rendered prompt; there are no examples."""
        return self.doc_to_text(doc)

    def construct_requests(self, doc: dict[str, Any], ctx: str, **kwargs: Any) -> list[Any]:
        """One generation."""
        arguments = (ctx, dict(self._config.generation_kwargs))
        return [Instance("generate_until", doc, arguments, 0, kwargs["metadata"])]

    def process_results(self, doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
        """Whether the thought was closed."""
        return {"thinks": float(thought_is_closed(results[0], cut=self.cut))}

    def aggregation(self) -> dict[str, Any]:
        """A mean over prompts."""
        return {"thinks": mean}

    def higher_is_better(self) -> dict[str, bool]:
        """It is."""
        return {"thinks": True}

    def dump_config(self) -> dict[str, Any]:
        """What lm-eval writes into its own results, which are not kept."""
        return {"task": self.config.task, "num_fewshot": self.config.num_fewshot}

    @property
    def config(self) -> TaskConfig:
        """lm-eval's configuration object."""
        return self._config
