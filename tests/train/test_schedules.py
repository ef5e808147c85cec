from __future__ import annotations

import pytest
import torch
from transformers import get_scheduler

from train.schedules import rate_factor, warmup_steps


@pytest.mark.parametrize(("ours", "theirs"), [("constant", "constant_with_warmup"), ("linear",) * 2, ("cosine",) * 2])
@pytest.mark.parametrize("warmup", [0, 1, 7])
def test_is_the_schedule_of_transformers_one_step_later(ours, theirs, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_scheduler(theirs, optimizer, num_warmup_steps=warmup + 1, num_training_steps=41)
    for step in range(40):
        optimizer.step()
        scheduler.step()
        assert rate_factor(ours, step, steps=40, warmup=warmup) == pytest.approx(scheduler.get_last_lr()[0])


def test_no_step_is_wasted_on_rate_zero():
    for steps in (1, 2, 50):
        for schedule in ("constant", "linear", "cosine"):
            warmup = warmup_steps(0.03, steps)
            assert all(rate_factor(schedule, step, steps=steps, warmup=warmup) > 0 for step in range(steps))
