"""Compiled blocks train like the model as it is."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from train.attention import DocumentAttention
from train.compiling import CompiledBlocks
from train.errors import TrainError
from train.losses import nll
from train.masking import Row
from train.packing import pack

# Dynamo looks at .grad of whatever it meets.
pytestmark = [pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")]

SIZES = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "pad_token_id": 0}


def small(layers: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **SIZES, num_hidden_layers=layers)).float()


def rows(*lengths: int) -> list[Row]:
    random = torch.Generator().manual_seed(1)
    return [
        Row(str(n), torch.randint(3, 40, (n,), generator=random).numpy(), torch.arange(n).ge(n // 2).numpy())
        for n in lengths
    ]


def course(model: nn.Module, *, rate: float = 0.05) -> list[float]:
    """Losses of three packed steps of other lengths each."""
    found = []
    for lengths in ((9, 12, 5), (7, 20), (4, 6, 8, 10)):
        model.zero_grad()
        with DocumentAttention(model):
            loss = nll(model, pack(rows(*lengths))).total
            loss.backward()
        found.append(float(loss.detach()))
        with torch.no_grad():
            for part in model.parameters():
                part.sub_(rate * part.grad / 20)
    return found


def test_compiled_blocks_take_the_same_course_and_are_put_back() -> None:
    """Dynamo's graphs, run as they are: what is compiled is the same; the compiler itself is in the slow test."""
    wanted = course(small())
    model = small()
    names = set(model.state_dict())
    with CompiledBlocks(model, backend="eager"):
        assert all(block._compiled_call_impl is not None for block in model.model.layers)
        assert course(model) == pytest.approx(wanted, rel=1e-5)
        assert set(model.state_dict()) == names
    assert all(block._compiled_call_impl is None for block in model.model.layers)
    assert wanted[0] != pytest.approx(wanted[-1], rel=1e-3)


def test_what_the_compiler_cannot_do_is_said() -> None:
    model = small()
    with pytest.raises(TrainError, match=r"torch\.compile failed: .*nowhere"):
        CompiledBlocks(model, backend="nowhere").check(lambda: model(torch.tensor([[3, 4]])).logits.flatten())
    assert all(block._compiled_call_impl is None for block in model.model.layers)


def test_a_model_without_blocks_is_refused() -> None:
    class Flat(nn.Linear):
        dtype = torch.float32

    with pytest.raises(TrainError, match="finds no blocks"):
        CompiledBlocks(Flat(2, 2))


def test_other_losses_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = CompiledBlocks(small(), backend="eager")
    values = iter([torch.zeros(3), torch.tensor([0.0, 0.1, 0.0])])
    with pytest.raises(TrainError, match="other losses"):
        blocks.check(lambda: next(values))


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_compiler_s_code_takes_the_same_course() -> None:
    wanted = course(small(layers=1))
    model = small(layers=1)
    with CompiledBlocks(model):
        assert course(model) == pytest.approx(wanted, rel=1e-5)
