"""Advantages, losses and the penalty against their equations."""

from __future__ import annotations

import pytest
import torch

from train.ppo.advantages import gae, whitened
from train.ppo.losses import policy_loss, value_loss
from train.ppo.penalty import Penalty


def by_the_sum(rewards, values, length, *, discount, decay):
    """A_t = sum over l of (discount * decay)^l * delta_(t+l), written out."""
    after = [*values[1:length], 0.0]
    deltas = [rewards[t] + discount * after[t] - values[t] for t in range(length)]
    return [sum((discount * decay) ** (u - t) * deltas[u] for u in range(t, length)) for t in range(length)]


@pytest.mark.parametrize(("discount", "decay"), [(1.0, 0.95), (0.9, 0.7), (1.0, 1.0), (1.0, 0.0)])
def test_advantages_equal_the_sum_of_the_paper(discount, decay):
    torch.manual_seed(0)
    rewards, values = torch.randn(4, 6), torch.randn(4, 6)
    lengths = [6, 1, 3, 5]
    mask = torch.arange(6)[None] < torch.tensor(lengths)[:, None]
    found = gae(rewards, values, mask, discount=discount, decay=decay)
    for row, length in enumerate(lengths):
        wanted = by_the_sum(rewards[row].tolist(), values[row].tolist(), length, discount=discount, decay=decay)
        assert found[row, :length].tolist() == pytest.approx(wanted, abs=1e-5)
        assert not found[row, length:].any()


def test_without_decay_and_critic_the_advantage_is_what_is_still_earned():
    rewards = torch.tensor([[0.0, 0.0, 1.0]])
    found = gae(rewards, torch.zeros(1, 3), torch.ones(1, 3, dtype=torch.bool), discount=1.0, decay=1.0)
    assert found.tolist() == [[1.0, 1.0, 1.0]]


def test_whitening_looks_at_the_answers_alone():
    mask = torch.tensor([[True, True, False], [True, False, False]])
    found = whitened(torch.tensor([[1.0, 2.0, 99.0], [3.0, 99.0, 99.0]]), mask)
    assert found[mask].mean().item() == pytest.approx(0, abs=1e-6)
    assert found[mask].std(unbiased=False).item() == pytest.approx(1, abs=1e-5)
    assert not found[~mask].any()
    assert whitened(torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool)).tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("step", "advantage", "moves"), [(0.5, 1.0, False), (-0.5, 1.0, True), (0.5, -1.0, True), (-0.5, -1.0, False)]
)
def test_a_token_that_left_the_interval_on_its_advantages_side_gives_no_gradient(step, advantage, moves):
    old = torch.tensor([[-1.0]])
    new = (old + step).requires_grad_()
    policy_loss(new, old, torch.tensor([[advantage]]), torch.ones(1, 1, dtype=torch.bool), clip=0.2).backward()
    assert bool(new.grad.any()) == moves


def test_before_the_first_update_the_gradient_is_that_of_the_policy_gradient():
    torch.manual_seed(0)
    old, advantages = -torch.rand(3, 4), torch.randn(3, 4)
    mask = torch.rand(3, 4) > 0.3
    new = old.clone().requires_grad_()
    policy_loss(new, old, advantages, mask, clip=0.2).backward()
    torch.testing.assert_close(new.grad, -advantages * mask)


def test_the_critics_step_is_limited():
    old, returns = torch.zeros(1, 1), torch.ones(1, 1)
    mask = torch.ones(1, 1, dtype=torch.bool)
    values = torch.tensor([[0.5]], requires_grad=True)
    loss = value_loss(values, old, returns, mask, clip=0.2)
    assert loss.item() == pytest.approx(0.5 * 0.8**2)
    loss.backward()
    assert not values.grad.any()
    near = torch.tensor([[0.1]], requires_grad=True)
    assert value_loss(near, old, returns, mask, clip=0.2).item() == pytest.approx(0.5 * 0.9**2)


def test_the_penalty_grows_above_its_target_and_shrinks_below_it():
    penalty = Penalty(0.1, 2.0)
    penalty.steer(10.0, answers=64)
    assert penalty.weight == pytest.approx(0.1 * 1.02)
    penalty.steer(0.0, answers=128)
    assert penalty.weight == pytest.approx(0.1 * 1.02 * 0.96)
    fixed = Penalty(0.1, None)
    fixed.steer(10.0, answers=64)
    assert fixed.weight == 0.1
