"""LoReFT and DiReFT: equation, parameter counts, places, generation, packing, saving and loading."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from datakit.core.adapters import base_name, is_adapter, lay_over, switched_off, take_off
from datakit.core.errors import ModelError
from datakit.core.reft import Direft, Loreft, ReftConfig, attach, orthonormal_rows, prompts, read
from train import Arm, TrainError, fit
from train.adapters.interventions import intervene, prompt_spans
from train.data import collate

IDS = torch.tensor([[256, 10, 20, 30, 40, 50, 60, 70]])


def config(**options):
    return ReftConfig(**{"method": "loreft", "rank": 3, "layers": (0,), "first": 2, "last": 1, "tied": True} | options)


def logits(model, ids=IDS, **options):
    with torch.no_grad():
        return model(input_ids=ids, **options).logits


def by_equation(part, h):
    """LoReFT, written out with another way to orthonormal rows: Gram and Schmidt."""
    rows = []
    for row in part.basis.detach():
        for other in rows:
            row = row - (row @ other) * other
        rows.append(row / row.norm())
    r = torch.stack(rows)
    w, b = part.source.weight, part.source.bias
    return torch.stack([x + r.T @ (w @ x + b - r @ x) for x in h])


def test_loreft_is_its_equation_and_not_without_its_last_term():
    torch.manual_seed(0)
    part, h = Loreft(16, 4), torch.randn(5, 16)
    with torch.no_grad():
        part.basis.copy_(torch.randn(4, 16))  # as training leaves it: no longer orthonormal itself
        assert torch.allclose(part(h), by_equation(part, h), atol=1e-5)
        r = orthonormal_rows(part.basis)
        assert torch.allclose(r @ r.T, torch.eye(4), atol=1e-6)
        without = h + (part.source(h)) @ r
        assert not torch.allclose(without, by_equation(part, h), atol=1e-2)
        # What R sees of the new state is W h + b alone; only the term - R h makes it so.
        assert torch.allclose(part(h) @ r.T, part.source(h), atol=1e-5)
        assert not torch.allclose(without @ r.T, part.source(h), atol=1e-2)


def test_direft_is_its_equation():
    torch.manual_seed(0)
    part, h = Direft(16, 4), torch.randn(5, 16)
    w, b, v = part.source.weight, part.source.bias, part.basis
    assert torch.allclose(part(h), torch.stack([x + v.T @ (w @ x + b) for x in h]), atol=1e-5)
    assert not torch.allclose(part(h), h, atol=1e-2)


@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.parametrize(("method", "kind"), [("loreft", Loreft), ("direft", Direft)])
def test_it_learns_and_not_without_the_intervention(
    method, kind, removed, model_folder, dataset, tmp_path, monkeypatch
):
    if removed:
        monkeypatch.setattr(kind, "forward", lambda self, h: h + 0.0 * self.basis.sum())
    arm = Arm(adapter=method, rank=4, learning_rate=3e-2, steps=25, batch_size=8, options={"identity": True})
    if removed:
        with pytest.raises(TrainError, match="changed no weight"):
            fit(arm, model=model_folder, data=dataset(), output=tmp_path / "out")
        return
    found = fit(arm, model=model_folder, data=dataset(), output=tmp_path / "out")
    assert found.validation_loss < found.history[0]["validation_loss"] - 0.2


@pytest.mark.parametrize("kind", [Loreft, Direft])
def test_one_intervention_has_2rd_plus_r_parameters(kind):
    """As pyreft counts them: 2 x 4 x 4096 + 4 = 32,772 in a layer of Llama-7B at rank 4."""
    assert sum(value.numel() for value in kind(4096, 4).parameters()) == 32_772


@pytest.mark.parametrize(("method", "tied", "ends"), [("loreft", True, 1), ("loreft", False, 2), ("direft", True, 1)])
def test_counts_in_a_training(method, tied, ends, model_folder, dataset, tmp_path):
    arm = Arm(adapter=method, rank=3, steps=2, learning_rate=1e-2, options={"tied": tied, "layers": [0, 1]})
    result = fit(arm, model=model_folder, data=dataset(), output=tmp_path / "out")
    assert result.trainable_parameters == 2 * ends * (2 * 3 * 32 + 3)


@pytest.mark.parametrize("method", ["loreft", "direft"])
def test_identity_start_changes_nothing_and_the_usual_one_does(method, model):
    before = logits(model)
    attach(model, config(method=method), identity=True)
    assert torch.allclose(logits(model), before, atol=1e-5)
    take_off(model)
    attach(model, config(method=method))
    assert not torch.allclose(logits(model), before, atol=1e-2)
    with switched_off(model):
        assert torch.equal(logits(model), before)
    assert torch.equal(logits(take_off(model)), before)
    assert not hasattr(model, "reft")


def hidden(model):
    """What the second block is given."""
    seen = []
    handle = model.model.layers[1].register_forward_pre_hook(lambda _, args: seen.append(args[0][0]))
    logits(model)
    handle.remove()
    return seen[0]


def test_only_the_first_and_last_tokens_of_the_prompt_are_changed(model):
    before = hidden(model)
    attach(model, config(first=2, last=1))
    with prompts([(0, 0, 5)]):
        changed = (hidden(model) - before).abs().amax(-1) > 1e-6
    assert changed.tolist() == [True, True, False, False, True, False, False, False]


def test_a_short_prompt_is_shared_out_between_both_ends():
    spread = config(first=7, last=7, tied=False)
    assert spread.places([(0, 0, 5)]) == {"first": ([0, 0], [0, 1]), "last": ([0, 0, 0], [2, 3, 4])}
    assert spread.places([(0, 0, 1)]) == {"first": ([], []), "last": ([0], [0])}
    assert config(first=1, last=7, tied=False).places([(2, 3, 7)])["last"] == ([2, 2, 2], [4, 5, 6])
    assert config(first=0, last=2, tied=False).places([(0, 0, 9)]) == {"last": ([0, 0], [7, 8])}


def test_padding_on_the_left_is_no_prompt(model):
    attach(model, config(first=2, last=2))
    padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), IDS], dim=1)
    mask = (torch.arange(padded.shape[1]) >= 3).long()[None]
    places = torch.arange(padded.shape[1]).sub(3).clamp(min=0)[None]
    out = logits(model, padded, attention_mask=mask, position_ids=places)
    assert torch.allclose(out[:, 3:], logits(model), atol=1e-4)


def test_a_generation_changes_its_prompt_once(model):
    """Token by token with a cache, and every time anew with the prompt's place told: the same."""
    attach(model, config(first=2, last=2, layers=(0, 1)))
    with torch.no_grad():
        for value in model.reft.parameters():
            value.mul_(3)
    out = model.generate(input_ids=IDS, max_new_tokens=6, do_sample=False, pad_token_id=0, eos_token_id=None)
    grown = IDS
    for _ in range(6):
        with prompts([(0, 0, IDS.shape[1])]):
            grown = torch.cat([grown, logits(model, grown)[:, -1:].argmax(-1)], dim=1)
    assert out.tolist() == grown.tolist()


def test_prompts_of_padded_and_of_packed_rows():
    import numpy as np

    from train.masking import Row
    from train.packing import pack

    def row(length, start):
        return Row("x", np.arange(length, dtype=np.int32), np.arange(length) >= start)

    rows = [row(5, 3), row(7, 1), row(4, 2)]
    assert prompt_spans(collate(rows[:2], pad=0)) == [(0, 0, 3), (1, 0, 1)]
    assert prompt_spans(pack(rows)) == [(0, 0, 3), (0, 5, 6), (0, 12, 14)]


def test_packed_training_is_exact(model, model_folder, dataset, tmp_path):
    from train import Packing

    events = []
    arm = Arm(adapter="loreft", rank=2, learning_rate=2e-2, steps=2, packing=True)
    fit(arm, model=model_folder, data=dataset(), output=tmp_path / "out", progress=events.append)
    assert any(isinstance(event, Packing) and event.packed for event in events)


def test_packed_documents_are_changed_as_single_ones(model):
    first, second = IDS[:, :5], IDS[:, 2:]
    attach(model, config(first=1, last=2, layers=(0, 1)))
    both = torch.cat([first, second], dim=1)
    places = torch.cat([torch.arange(5), torch.arange(6)])[None]
    with prompts([(0, 0, 4), (0, 5, 8)]):
        packed = logits(model, both, position_ids=places, use_cache=False)
    with prompts([(0, 0, 4)]):
        assert torch.allclose(packed[:, :5], logits(model, first), atol=1e-5)
    with prompts([(0, 0, 3)]):
        assert torch.allclose(packed[:, 5:], logits(model, second), atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"kl": {"weight": 0.5}}, {"kl": {"weight": 0.5, "from": "general"}}])
@pytest.mark.parametrize("method", ["loreft", "direft"])
def test_activations_computed_again_are_those_of_their_own_pass(
    method, settings, model_folder, dataset, replay_file, tmp_path
):
    """Between a pass and its backward pass lie others: the base's, and one over general rows."""
    written = []
    for again in (False, True):
        arm = Arm(adapter=method, rank=2, learning_rate=2e-2, steps=3, batch_size=4, checkpointing=again, **settings)
        given = {"model": model_folder, "data": dataset(), "replay": {"general": replay_file}}
        found = fit(arm, output=tmp_path / str(again), **given)
        written.append(read(found.folder)[1])
    for name, value in written[0].items():
        torch.testing.assert_close(written[1][name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"tied": False, "identity": True, "layers": [1]}])
def test_what_was_trained_is_what_is_loaded(options, model_folder, dataset, tmp_path):
    seen = []
    arm = Arm(adapter="loreft", rank=2, learning_rate=2e-2, steps=12, batch_size=8, options=options)
    result = fit(
        arm,
        model=model_folder,
        data=dataset(),
        output=tmp_path / "out",
        probe=lambda model, step: seen.append(logits(model)) or {},
    )
    assert result.validation_loss < result.history[0]["validation_loss"]
    base = AutoModelForCausalLM.from_pretrained(model_folder)
    before = logits(base)
    tuned = lay_over(base, tmp_path / "out")
    assert torch.equal(logits(tuned), seen[-1])
    assert not torch.allclose(seen[-1], before, atol=1e-3)
    assert torch.equal(logits(take_off(tuned)), before)
    assert is_adapter(tmp_path / "out")
    assert base_name(tmp_path / "out") == str(model_folder)
    settings, tensors = read(tmp_path / "out")
    assert settings.tied == options.get("tied", True)
    assert sum(value.numel() for value in tensors.values()) == result.trainable_parameters


def test_folders_that_do_not_fit_are_one_line(model, make_model, model_folder, dataset, tmp_path):
    out = tmp_path / "out"
    fit(Arm(adapter="direft", rank=2, steps=1, learning_rate=1e-2), model=model_folder, data=dataset(), output=out)
    settings, tensors = read(out)
    with pytest.raises(ModelError, match="no layer 7: the model has 2"):
        attach(model, config(layers=(7,)))
    with pytest.raises(ModelError, match="does not fit this base"):
        attach(model, settings, {name: value[:1] for name, value in tensors.items()})
    (out / "reft.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="no readable adapter") as caught:
        read(out)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first": -1}, "first is a number of tokens"),
        ({"first": 0, "last": 0}, "no token is changed"),
        ({"tied": "yes"}, "tied is true or false"),
        ({"layers": "some"}, "layers is 'all' or a list"),
        ({"layers": [9]}, "no layer 9"),
    ],
)
def test_options_that_are_none(options, message, model_folder, dataset, tmp_path):
    with pytest.raises((TrainError, ModelError), match=message):
        fit(Arm(adapter="loreft", options=options), model=model_folder, data=dataset(), output=tmp_path / "out")


def test_an_option_of_nobody_is_refused_when_the_arm_is_read():
    with pytest.raises(ValueError, match=r"adapter 'loreft' has no 'positions'; it has layers, first, last"):
        Arm(adapter="loreft", options={"positions": 3})
    with pytest.raises(ValueError, match=r"adapter 'lora' has no 'first'; it has none"):
        Arm(options={"first": 3})


def test_objectives_without_a_prompt_are_refused(model):
    with pytest.raises(TrainError, match="adapter direft changes prompts, and objective dpo has none"):
        intervene(model, Arm(adapter="direft", objective="dpo"), "direft")
