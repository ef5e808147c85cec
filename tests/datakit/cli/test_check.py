"""What ``datakit check`` says beside what it measured."""

from __future__ import annotations

from types import SimpleNamespace

from datakit.cli.check import _elsewhere
from train import Arm


def test_arms_of_other_backends_are_named_because_our_own_loop_was_timed():
    arms = {"ours": Arm(), "theirs": Arm(backend="trl")}
    assert _elsewhere(SimpleNamespace(stages=(), arms=arms)) == ["theirs"]
    stages = (SimpleNamespace(arms={"first": Arm(backend="mock")}), SimpleNamespace(arms={"second": Arm()}))
    assert _elsewhere(SimpleNamespace(stages=stages, arms=arms)) == ["first"]
