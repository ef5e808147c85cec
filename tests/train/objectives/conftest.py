"""Rows encoded by an objective, and a training of a few steps on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from datakit.core.chat import ChatSettings, ends_turn
from train import Arm
from train.data import Stream
from train.encoder import Encoder
from train.loop import Training, run_steps
from train.objectives import Drawing


@pytest.fixture
def encoder() -> Callable[..., Encoder]:
    def make(tokenizer: Any, *, max_length: int = 128, answers: bool = True) -> Encoder:
        chat = ChatSettings()
        return Encoder(tokenizer, chat, ends_turn(tokenizer, chat) if answers else "", max_length)

    return make


@pytest.fixture
def run() -> Callable[..., Any]:
    """Trains a model in place with an objective on encoded rows."""

    def train(model: Any, objective: Any, rows: Any, *, steps: int, seed: int = 0, **settings: Any) -> Any:
        settings = {"adapter": "full", "learning_rate": 1e-2, "batch_size": 8, "warmup": 0.0, **settings}
        arm = Arm(steps=steps, **settings)
        draw = objective.draw if isinstance(objective, Drawing) else None
        stream = Stream(rows, rows_per_step=arm.batch_size * arm.accumulate, seed=seed, draw=draw)
        return run_steps(Training(model, objective, stream, [], arm, steps=steps, pad=0))

    return train
