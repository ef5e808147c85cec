"""A recorded pass foretells a larger batch block by block; what steps take is counted as by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from train import Arm
from train.adapters import adapter_named
from train.allocations import Block, Pass, Recorded, Size, Spread, Taken, pass_of, recorded, room, spread_of
from train.fused.chosen import Passes
from train.fused.passes import FusedPasses
from train.loop import Training, recompute
from train.masking import Row
from train.memory import held_by
from train.objectives.sft import Sft
from train.packing import chosen_attention
from train.recording import _record, recorded_pass
from train.retention.terms import retention_terms

MB = 1 << 20


def row(length, answer):
    ids = np.arange(length, dtype=np.int32) % 200
    return Row(str(length), ids, np.arange(length) >= length - answer)


def training(model, adapter="full", *, packing=False, **settings):
    arm = Arm(adapter=adapter, **settings)
    tuned = adapter_named(adapter).apply(model, arm).train()
    rows = [row(16, 4), row(24, 6)]
    attention, _ = chosen_attention(packing, tuned, rows, objective=Sft(), adapter=adapter_named(adapter))
    if arm.checkpointing:
        recompute(tuned)
    return Training(tuned, Sft(), (), (), arm, steps=1, pad=0, attention=attention)


def most_held(blocks, course):
    held = most = 0
    for at in course:
        held += blocks[at - 1] if at > 0 else -blocks[-at - 1]
        most = max(most, held)
    return most


def test_blocks_are_recorded_in_their_order():
    def forward():
        first = torch.empty(1000)
        second = torch.empty(3000)
        del first
        return second

    found = recorded(forward, lambda loss: torch.empty(500), Size(1, 1, 1))
    assert found.blocks == (4000, 12000, 2000)
    assert found.course[:3] == (1, 2, -1)
    assert found.forward == 3


@pytest.mark.parametrize("settings", [{}, {"adapter": "lora"}, {"packing": True}, {"checkpointing": True}])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_recorded_pass_foretells_a_larger_batch(settings, attention, model):
    if settings.get("packing") and attention == "eager":
        pytest.skip("packing has an attention of its own")
    model.set_attn_implementation(attention)
    short = training(model, **settings)
    found, spread = recorded_pass(short, [row(16, 4), row(24, 6), row(40, 10)])
    assert 1 <= spread.passing <= 3
    assert 0 <= spread.shared <= 1
    larger = [row(96, 24)] * (1 if short.attention else 3)
    truth = _record(short, larger)
    told = [block.bytes(truth.size) for block in found.blocks]
    assert most_held(told, found.course) == pytest.approx(most_held(truth.blocks, truth.course), rel=0.05)
    assert len(found.lasting) == sum(value.requires_grad for value in short.model.parameters())


def test_what_is_recorded_runs_as_the_steps_do(model):
    plain = training(model)
    fewer = replace(plain, passes=Passes((FusedPasses(model),)))
    batch = [row(40, 10)] * 2
    whole, less = (_record(each, batch) for each in (plain, fewer))
    assert most_held(less.blocks, less.course) < 0.9 * most_held(whole.blocks, whole.course)
    assert "forward" not in vars(model.model.norm), "the model is as it was"


def test_long_rows_are_recorded_by_their_end(model):
    short = training(model, packing=True)
    found, _ = recorded_pass(short, [row(1000, 40)] * 3)
    truth = _record(short, [row(1000, 40)])
    told = [block.bytes(truth.size) for block in found.blocks]
    assert most_held(told, found.course) == pytest.approx(most_held(truth.blocks, truth.course), rel=0.05)


def test_looking_leaves_weights_and_gradients_alone(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recorded_pass(training(model), [row(16, 4), row(24, 6)])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(value.grad is None for value in model.parameters())


def test_blocks_grow_with_tokens_pairs_of_them_and_logits():
    size, twice, other = Size(10, 100, 3), Size(20, 200, 6), Size(30, 900, 4)
    one = Recorded((400, 3 * 260 * 4, 1000, 777), (1, 2, 3, 4), 4, size)
    two = Recorded((800, 6 * 260 * 4, 2000, 777), (1, 2, 3, 4), 4, twice)
    long = Recorded((1200, 4 * 260 * 4, 9000, 777), (1, 2, 3, 4), 4, other)
    found = pass_of(one, two, long, vocabulary=260)
    assert found.blocks == (
        Block(0, per_token=40),
        Block(0, per_logit=1040),
        Block(0, per_square=10),
        Block(777),
    )
    assert pass_of(one, Recorded(two.blocks, (1, 2, 3), 3, twice), None, vocabulary=260) is None


def test_a_packed_pass_foretells_several_rows(model):
    """Attention that is written out holds pairs of tokens of each row, not of the whole sequence."""
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.1
    short = training(model, packing=True)
    assert short.attention is not None
    found, _ = recorded_pass(short, [row(16, 4)] * 3)
    truth = _record(short, [row(48, 12)] * 4)
    assert truth.size == Size(4 * 48, 4 * 48**2, 48)
    told = [block.bytes(truth.size) for block in found.blocks]
    assert max(block.per_square for block in found.blocks) > 0
    assert most_held(told, found.course) == pytest.approx(most_held(truth.blocks, truth.course), rel=0.05)


def test_steps_take_what_is_counted_by_hand():
    # An activation of 4 bytes a token, a passing block, a gradient that stays.
    found = Pass((Block(0, per_token=4 * MB), Block(2 * MB), Block(MB)), (1, 2, -2, 3, -1), 2)
    size = Size(1, 1, 1)
    quarter = MB // 4
    tight, wide, apart = Spread(1.0, 1.0), Spread(2.0, 1.0), Spread(2.0, 0.0)
    assert room(found, [[size]], [quarter], spread=tight) == 6 * MB  # both blocks; moments and gradient are fewer
    assert room(found, [[size]], [quarter], spread=wide) == 12 * MB
    assert room(found, [[size]], [quarter], spread=apart) == 15 * MB  # gradient and moments have room of their own
    assert room(found, [[size], [size]], [quarter], spread=wide) == 14 * MB  # the moments are there in a second step
    assert room(found, [[size], [size]], [quarter], spread=apart) == 15 * MB
    assert room(found, [[size], [size]], [quarter], spread=Spread(2.0, 0.25)) == 14.75 * MB
    assert room(found, [[size, size]], [quarter], spread=tight) == 7 * MB  # the first batch's gradient
    assert room(found, [[Size(10, 1, 1)]], [quarter], spread=wide) == (40 + 2 * 2) * MB  # 40 MB are mapped, unspread


def test_the_spread_is_what_a_pass_took():
    found = Pass((Block(0, per_token=MB), Block(2 * MB), Block(MB)), (1, 2, -2, 3), 3)
    size = Size(2, 4, 1)
    assert spread_of(found, Taken(4 * MB, size, 4 * MB, size)).passing == 1.0
    assert spread_of(found, Taken(6 * MB, size, 6 * MB, size)).passing == 1.5
    assert spread_of(found, Taken(600 * MB, size, 600 * MB, size)).passing == 3.0
    assert spread_of(found, Taken(0, size, 0, size)).passing == 1.0
    # 40 MB are mapped and gone again when the pass is through: they are no room that the heap took.
    wide = Pass((Block(0, per_token=MB), Block(40 * MB)), (1, 2, -2), 3)
    assert spread_of(wide, Taken(4 * MB, size, 44 * MB, size)).passing == 2.0


def test_gradients_share_as_much_room_as_a_pass_said():
    # Two activations, of which one is gone when the gradient comes.
    found = Pass((Block(0, 6 * MB), Block(0, 2 * MB), Block(4 * MB)), (1, 2, -1, 3, -2), 2)
    size = Size(1, 1, 1)
    assert spread_of(found, Taken(8 * MB, size, 8 * MB, size)) == Spread(1.0, 1.0)
    assert spread_of(found, Taken(8 * MB, size, 9 * MB, size)) == Spread(1.0, 0.75)
    assert spread_of(found, Taken(8 * MB, size, 12 * MB, size)) == Spread(1.0, 0.0)
    assert spread_of(found, Taken(8 * MB, size, 16 * MB, size)) == Spread(
        1.5, 0.0
    )  # the way back took more than the way forth


@pytest.mark.parametrize(
    ("name", "settings", "copies"),
    [
        ("full", {"kl": {"weight": 1.0}}, 1),
        ("lora", {"kl": {"weight": 1.0}}, 0),
        ("full", {"l2": {"weight": 1.0}}, 1),
        ("lora", {"l2": {"weight": 1.0}}, 0),
    ],
)
def test_copies_of_the_start_are_counted(name, settings, copies, make_model):
    made = training(make_model(), name, **settings)
    against = retention_terms(made.arm, made.model, load=make_model, general=[], seed=0)
    terms = [*against.terms, *against.rehearsals, *against.pulls]
    size = sum(value.numel() * 4 for value in make_model().parameters())
    assert held_by(terms, made.model) == pytest.approx(copies * size, abs=1000)
