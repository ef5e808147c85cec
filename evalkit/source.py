"""What every kind of task source offers: an identity for the store, and lm-eval's task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from datakit.core.chat import ChatSettings
from datakit.core.hashing import digest, json_digest

__all__ = ["Setup", "TaskSource", "docs_digest"]


@dataclass(frozen=True, slots=True)
class Setup:
    """What the model's side gives to a task.

    Attributes:
        tokenizer: For prompts that are rendered beforehand; None for a model without one.
        chat: Chat settings that hold for this task.
        seed: Of few-shot samples.
        num_fewshot: Examples before each item; None leaves it to the task.
    """

    tokenizer: Any
    chat: ChatSettings
    seed: int = 0
    num_fewshot: int | None = None


class TaskSource(Protocol):
    """Where a task's items and prompts come from."""

    @property
    def rendered(self) -> bool:
        """Whether its prompts are rendered already, so that no chat template is put around them again."""
        ...

    @property
    def local(self) -> bool:
        """Whether its data are files here; others are known only once lm-eval has loaded them."""
        ...

    def identity(self) -> Any:
        """JSON value that changes whenever items, prompts or scoring may change; holds no machine's paths."""
        ...

    def build(self, setup: Setup) -> Any:
        """lm-eval's task object."""
        ...


def docs_digest(source: TaskSource) -> list[str]:
    """Hashes of the items and of the few-shot examples: nothing else tells which data a hub gave."""
    task = source.build(Setup(None, ChatSettings()))
    splits = (task.eval_docs, task.fewshot_docs() or ())
    return [str(task.VERSION), *(digest(*(json_digest(doc) for doc in split)) for split in splits)]
