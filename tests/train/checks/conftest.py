"""Rows encoded by an objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from datakit.core.chat import ChatSettings, ends_turn
from datakit.core.example import Example, Message, to_table
from train.encoder import Encoder


@pytest.fixture
def encoder() -> Callable[..., Encoder]:
    def make(tokenizer: Any, *, max_length: int = 128, answers: bool = True) -> Encoder:
        chat = ChatSettings()
        return Encoder(tokenizer, chat, ends_turn(tokenizer, chat) if answers else "", max_length)

    return make


@pytest.fixture
def table() -> Callable[..., Any]:
    """Turns, worse answer or text to a table of examples."""

    def make(*rows: dict[str, Any]) -> Any:
        made = []
        for number, row in enumerate(rows):
            turns = [Message(role, content) for role, content in row.get("turns", ())]
            worse = row.get("worse")
            made.append(
                Example(
                    id=f"row{number}",
                    group=f"row{number}",
                    source="t",
                    origin=f"t:{number}",
                    messages=tuple(turns) or None,
                    rejected=None if worse is None else (Message("assistant", worse),),
                    text=row.get("text"),
                )
            )
        return to_table(made)

    return make
