from __future__ import annotations

import pytest
from pydantic import ValidationError

from train import Arm
from train.adapters import ADAPTERS, adapter_named


def test_lists_are_a_grid_of_concrete_arms():
    arm = Arm(learning_rate=[1e-4, 3e-4], steps=[10, 20, 30], rank=4)
    grid = arm.grid()
    assert arm.is_grid
    assert [(one.learning_rate, one.steps) for one in grid] == [
        (rate, steps) for rate in (1e-4, 3e-4) for steps in (10, 20, 30)
    ]
    assert all(not one.is_grid and one.rank == 4 for one in grid)


def test_an_arm_without_lists_is_its_own_grid():
    arm = Arm(adapter="full")
    assert arm.grid() == [arm]


def test_every_setting_has_a_default_of_its_adapter():
    lora, full = Arm(), Arm(adapter="full")
    assert (lora.adapter, lora.rank, lora.alpha, lora.targets) == ("lora", 16, 32.0, "all-linear")
    assert Arm(rank=4).alpha == 8.0
    assert Arm(rank=4, alpha=4).alpha == 4.0
    assert full.rank is None
    assert 0 < full.learning_rate < lora.learning_rate
    assert (full.epochs, full.steps) == (3.0, None)
    assert Arm(steps=5).epochs is None


@pytest.mark.parametrize("name", ADAPTERS.names())
def test_every_default_has_a_reason(name):
    assert all(default.reason for default in adapter_named(name).defaults.values())


def test_replay_is_written_as_in_a_recipe():
    arm = Arm.model_validate({"replay": {"from": "general", "share": 0.1}})
    assert arm.replay is not None
    assert arm.replay.source == "general"
    assert arm.model_dump(by_alias=True, exclude_none=True)["replay"] == {"from": "general", "share": 0.1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adapter": "full", "rank": 8}, "rank: adapter 'full' has no such setting"),
        ({"epochs": 1, "steps": 3}, "exclude each other"),
        ({"adapter": "lorra"}, "no adapter named 'lorra'"),
        ({"learning_rate": -1}, "greater than 0"),
        ({"learning_rate": []}, "at least 1"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"replay": {"from": "g", "share": 1.0}}, "less than 1"),
        ({"momentum": 0.9}, "Extra inputs"),
    ],
)
def test_what_cannot_be_right_is_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        Arm.model_validate(settings)


def test_reading_a_dumped_arm_gives_the_arm():
    for arm in (Arm(), Arm(adapter="full", steps=[1, 2]), Arm(replay={"from": "g"}, clip=None)):
        assert Arm.model_validate(arm.model_dump(by_alias=True)) == arm


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": float("inf")},
        {"epochs": float("inf")},
        {"epochs": 1e300},
        {"steps": 10**30},
        {"clip": float("inf")},
    ],
)
def test_what_cannot_be_counted_is_refused(settings):
    with pytest.raises(ValidationError, match=r"finite number|less than or equal"):
        Arm(**settings)
