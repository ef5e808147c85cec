"""The task that asks whether a model still thinks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from datakit.core.chat import ChatSettings
from evalkit import Session, load_suite
from evalkit.models.generation import Generated, Generator, cut_answer
from evalkit.thinking import PROMPTS, thought_is_closed


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("<think>\n9:40 to 13:05</think>\n\n3 hours 25", True),
        ("the block began in the prompt</think>3 hours", True),
        ("<think>\n\n</think>\n\n3 hours", False),
        ("<think>and so on and so on", False),
        ("<think>all there is</think>\n", False),
        ("3 hours", False),
        ("", False),
    ],
)
def test_a_thought_has_content_an_end_and_an_answer_behind_it(text: str, closed: bool) -> None:
    assert thought_is_closed(text) is closed


@pytest.mark.parametrize("thinking", [False, True])
def test_the_share_is_that_of_the_closed_ones_with_thinking_on_and_off(
    thinking: bool, chat_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, Mapping[str, Any]]] = []

    def scripted(self: Generator, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[list[Generated], int]:
        seen.extend(requests)
        answers = []
        for prompt, _ in requests:
            raw = "so</think> yes" if "square" in prompt or "cats" in prompt else "and so on"
            text, stopped = cut_answer(raw, [], thinking=self._thinking)
            answers.append(Generated(text, 3, stopped))
        return answers, 0

    monkeypatch.setattr(Generator, "generate", scripted)
    session = Session(chat_folder, chat=ChatSettings(thinking=thinking))
    log = session.evaluate(load_suite(["thinking"]))
    rows = log.primary().to_pylist()
    wanted = sum("square" in prompt or "cats" in prompt for prompt in PROMPTS)
    assert wanted == 2
    assert sum(row["score"] for row in rows) == wanted
    assert len(rows) == len(PROMPTS)
    assert {row["metric"] for row in rows} == {"thinks"}
    assert all(prompt.endswith("<|assistant|><think>") for prompt, _ in seen)
    assert {options["max_gen_toks"] for _, options in seen} == {1024}


def test_a_model_without_thoughts_costs_a_token_per_prompt(model_folder: Path) -> None:
    log = Session(model_folder).evaluate(load_suite(["thinking"]))
    rows = log.primary().to_pylist()
    assert {row["score"] for row in rows} == {0.0}
    assert max(row["n_tokens"] for row in rows) <= 1


def test_other_rooms_are_other_entries_of_the_store() -> None:
    from evalkit.thinking import ThinkingSource

    assert ThinkingSource().identity() != ThinkingSource(tokens=64).identity()
