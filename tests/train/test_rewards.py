"""Reward functions are the user's code: whatever they do is one line, and no exit of theirs passes for a good end."""

from __future__ import annotations

import signal

import pytest

from train import TrainError
from train.backends.rewards import checked_reward, load_reward


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise RuntimeError('no key')", "cannot be imported: RuntimeError: no key"),
        ("import sys; sys.exit(0)", "cannot be imported: SystemExit: 0"),
        ("def f(:", "cannot be imported: SyntaxError"),
        ("g = 1", "has no 'f', which the reward names"),
        ("f = 1", "is no function"),
    ],
)
def test_a_module_that_cannot_be_used(text, said, tmp_path):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(TrainError, match=said):
        load_reward("mine:f", tmp_path)


def test_an_exit_is_an_error_and_a_signal_is_not():
    def leaves(**columns):
        raise SystemExit(0)

    def terminated(**columns):
        raise SystemExit(128 + signal.SIGTERM)

    with pytest.raises(TrainError, match="the reward 'a:f' failed: SystemExit: 0"):
        checked_reward(leaves, "a:f")(prompts=["a"], completions=["b"])
    with pytest.raises(SystemExit):
        checked_reward(terminated, "a:f")(prompts=["a"], completions=["b"])
