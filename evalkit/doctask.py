"""lm-eval's task over documents that are here. Import it inside functions: lm-eval is imported here.

What every task of ours has in common: one split, one metric that is a mean over items, prompts that are rendered by the
task itself, and one way to generate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lm_eval.api.metrics import mean
from lm_eval.api.task import Task
from lm_eval.config.task import TaskConfig

__all__ = ["DocTask"]


class DocTask(Task):  # type: ignore[misc]
    """A task over documents.

    Args:
        docs: The items.
        generation: How open answers are generated.
    """

    VERSION = 1
    #: Name of the metric.
    metric: ClassVar[str]

    def __init__(self, docs: list[dict[str, Any]], generation: Mapping[str, Any]) -> None:
        self.docs = docs
        self.generation = dict(generation)
        super().__init__(config={"task": "task", "num_fewshot": 0})
        self._config.generation_kwargs = self.generation

    def download(self, *args: Any, **kwargs: Any) -> None:
        """The documents are here."""

    def has_training_docs(self) -> bool:
        """No split of lm-eval's but the test split."""
        return False

    has_validation_docs = has_training_docs

    def has_test_docs(self) -> bool:
        """The documents."""
        return True

    def test_docs(self) -> list[dict[str, Any]]:
        """The documents; their hash does not depend on the rendering."""
        return self.docs

    def doc_to_prefix(self, doc: dict[str, Any]) -> None:
        """Answers begin with nothing."""

    def aggregation(self) -> dict[str, Any]:
        """A mean over items."""
        return {self.metric: mean}

    def higher_is_better(self) -> dict[str, bool]:
        """It is."""
        return {self.metric: True}

    def dump_config(self) -> dict[str, Any]:
        """What lm-eval writes into its own results, which are not kept."""
        return {"task": self.config.task, "num_fewshot": self.config.num_fewshot}

    @property
    def config(self) -> TaskConfig:
        """lm-eval's configuration object."""
        return self._config
