"""A whole model with fewer passes against itself: losses and gradients, and what is left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from train.data import collate
from train.fused import FusedPasses, LastNetwork
from train.losses import nll
from train.masking import Row

SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def model_of(kind: str, **changes: object) -> nn.Module:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SMALL, **changes})).float()


def row(number: int, length: int, trained: int) -> Row:
    ids = torch.randint(3, 60, (length,), generator=torch.Generator().manual_seed(number)).numpy()
    wanted = torch.arange(length).ge(length - trained).numpy()
    return Row(str(number), ids, wanted)


ROWS = [row(1, 20, 5), row(2, 31, 9), row(3, 12, 2)]


def measured(model: nn.Module) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    loss = nll(model, collate(ROWS, pad=0)).total
    loss.backward()
    return loss.detach(), {name: part.grad.clone() for name, part in model.named_parameters() if part.grad is not None}


def same(one, other) -> None:
    assert torch.allclose(one[0], other[0], rtol=1e-5)
    assert one[1].keys() == other[1].keys()
    for name in one[1]:
        assert torch.allclose(one[1][name], other[1][name], rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("llama", ("gate", "norm", "rotary")),
        ("qwen3", ("gate", "norm", "rotary")),
        ("mistral", ("gate", "norm", "rotary")),
        ("olmo2", ("gate", "norm")),  # its rotary function turns in another type
        ("gemma2", ()),  # norms add one to their weight, gates are GELU
        ("gpt_neox", ()),
    ],
)
def test_the_loss_and_every_gradient_stay(kind: str, names: tuple[str, ...]) -> None:
    model = model_of(kind)
    before = measured(model)
    passes = FusedPasses(model)
    assert set(names) <= set(passes.names)
    with passes, LastNetwork(model):
        same(measured(model), before)
    assert not any("forward" in part.__dict__ for part in model.modules())
    after = measured(model)
    assert torch.equal(after[0], before[0])


@pytest.mark.parametrize("name", ["_RmsNorm", "_Gated", "_Rotary"])
def test_the_passes_are_really_others(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a function's result spoilt the loss is another: it is the function that computes it."""
    from train.fused import functions

    model = model_of("llama")
    before = measured(model)[0]
    function = getattr(functions, name)
    own = function.forward

    def spoil(found):
        return tuple(part * -3.0 for part in found) if isinstance(found, tuple) else found * -3.0

    with FusedPasses(model):
        same = measured(model)[0]
        monkeypatch.setattr(function, "forward", staticmethod(lambda ctx, *inputs: spoil(own(ctx, *inputs))))
        spoilt = measured(model)[0]
    assert (same - before).abs() < 1e-3 < (spoilt - before).abs()


def test_a_norm_that_computes_something_else_stays_as_it_is() -> None:
    class OddRMSNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.eps = nn.Parameter(torch.zeros(32)), 1e-6

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (1 + self.weight) * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)

    assert FusedPasses(nn.Sequential(OddRMSNorm())).names == ()


def test_another_type_takes_the_model_s_own_way() -> None:
    model = model_of("llama").bfloat16()
    whole = model(torch.arange(3, 9)[None]).logits
    with FusedPasses(model_of("llama")):  # its file's rotary function is another now, for every model of that file
        assert torch.equal(model(torch.arange(3, 9)[None]).logits, whole)


def test_the_rotary_function_comes_back_after_an_error() -> None:
    from transformers.models.llama import modeling_llama

    own = modeling_llama.apply_rotary_pos_emb

    def fails() -> None:
        with FusedPasses(model_of("llama")):
            assert modeling_llama.apply_rotary_pos_emb is not own
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fails()
    assert modeling_llama.apply_rotary_pos_emb is own


def test_the_last_network_sees_trained_places_alone() -> None:
    model = model_of("llama")
    seen: list[int] = []
    model.model.layers[-1].mlp.gate_proj.register_forward_hook(
        lambda _, given, out: seen.append(out.shape[:-1].numel())
    )
    with LastNetwork(model):
        nll(model, collate(ROWS, pad=0))
        model(torch.arange(3, 9)[None])
    assert seen == [5 + 9 + 2, 6]


def test_a_model_that_mixes_after_its_last_layer_is_found_out() -> None:
    model = model_of("llama")

    class Mixing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + x.mean(dim=1, keepdim=True)

    from train.losses import token_nll

    batch = collate(ROWS, pad=0)
    with torch.no_grad():
        for part in model.model.layers[-1].mlp.parameters():
            part.mul_(10)  # a network that was trained says more than one that was drawn
    assert LastNetwork(model).exact(lambda: token_nll(model, batch))
    model.model.norm = Mixing()
    assert not LastNetwork(model).exact(lambda: token_nll(model, batch))
