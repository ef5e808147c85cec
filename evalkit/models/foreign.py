"""Values of ``model`` that are no folder: ``mock``, ``openai:NAME@URL``, ``vllm:FOLDER``; plugins add others.

A part of the entry-point group ``evalkit.models`` is a function of the whole reference and the chat settings that gives
a :class:`Foreign`. Nothing is asked of a server before its model is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datakit.core.chat import ChatSettings
from datakit.core.hashing import digest
from datakit.core.registry import Registry

__all__ = ["MODELS", "Foreign", "mock", "open_foreign"]

MODELS = Registry(
    "evalkit.models",
    {
        "mock": "evalkit.models.foreign:mock",
        "openai": "evalkit.models.server:openai",
        "vllm": "evalkit.models.vllm:vllm",
    },
)


@dataclass(frozen=True, slots=True)
class Foreign:
    """A model that is not loaded by us.

    Attributes:
        make: Gives the LM of lm-eval, with ``prepare``, ``facts``, ``done`` and ``batch_tokens``.
        digests: Hashes of weights and tokenizer; what a stored result is known by.
        tokenizer: Renders prompts; None sends them as they are.
        device: For the record.
        stored: Whether results are kept: what answers must be known by its bytes.
    """

    make: Callable[[], Any]
    digests: tuple[str, str]
    tokenizer: Any = None
    device: str = "cpu"
    stored: bool = True


def open_foreign(reference: str, chat: ChatSettings) -> Foreign | None:
    """The model of a reference; None where it is a folder or a name of the hub."""
    kind, _, _ = reference.partition(":")
    if Path(reference).exists() or kind not in MODELS.names():
        return None
    found: Foreign = MODELS.load(kind)(reference, chat)
    return found


def mock(reference: str, chat: ChatSettings) -> Foreign:
    """The model without weights."""

    def make() -> Any:
        from evalkit.models.mock import MockModel

        return MockModel(reference)

    return Foreign(make, (digest("mock", reference), ""))
