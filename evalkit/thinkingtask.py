"""lm-eval's task behind ``thinking``. Import it inside functions: lm-eval is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lm_eval.api.instance import Instance

from datakit.core.chat import is_chat, render_prompt
from evalkit.doctask import DocTask
from evalkit.source import Setup
from evalkit.thinking import thought_is_closed

__all__ = ["ThinkingTask"]


class ThinkingTask(DocTask):
    """Asks each prompt with thinking on.

    Args:
        prompts: User turns.
        setup: Tokenizer and chat settings.
        tokens: Room for thought and answer.
    """

    OUTPUT_TYPE = "generate_until"
    metric = "thinks"

    def __init__(self, prompts: Sequence[str], setup: Setup, *, tokens: int) -> None:
        self.tokenizer = setup.tokenizer
        self.chat = setup.chat.model_copy(update={"thinking": True})
        self.cut = setup.chat.thinking and is_chat(setup.tokenizer, setup.chat)
        docs = [{"question": prompt} for prompt in prompts]
        super().__init__(docs, {"do_sample": False, "until": [], "max_gen_toks": tokens})

    def doc_to_text(self, doc: dict[str, Any]) -> str:
        """The rendered prompt."""
        return render_prompt([{"role": "user", "content": doc["question"]}], self.tokenizer, self.chat)

    def doc_to_target(self, doc: dict[str, Any]) -> str:
        """Any answer will do."""
        return ""

    def fewshot_context(self, doc: dict[str, Any], num_fewshot: int = 0, **_: Any) -> str:
        """The rendered prompt; there are no examples."""
        return self.doc_to_text(doc)

    def construct_requests(self, doc: dict[str, Any], ctx: str, **kwargs: Any) -> list[Any]:
        """One generation."""
        arguments = (ctx, dict(self.generation))
        return [Instance("generate_until", doc, arguments, 0, kwargs["metadata"])]

    def process_results(self, doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
        """Whether the thought was closed."""
        return {"thinks": float(thought_is_closed(results[0], cut=self.cut))}
