"""What a batch will keep is told from two single rows; parts are counted; advice makes it fit."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import torch

from datakit.core.storage import write_table
from train import Arm, estimate
from train.adapters import adapter_named
from train.errors import Diverged
from train.masking import Row
from train.memory import (
    Kept,
    Shape,
    _saved,
    kept_by,
    largest,
    memory_of,
)
from train.objectives.sft import Sft
from train.process import available, forget_highest, highest_resident, most_resident, resident
from train.recording import recorded_pass
from train.trial import highest_of_steps


def row(length, answer):
    import numpy as np

    ids = np.arange(length, dtype=np.int32) % 200
    return Row(str(length), ids, np.arange(length) >= length - answer)


class Whole(Sft):
    """A batch handed over as if it were one row."""

    def collate(self, rows, *, pad):
        return super().collate(rows[0], pad=pad)


def adapted(name, model, **settings):
    arm = Arm(adapter=name, **settings)
    return adapter_named(name).apply(model, arm).train()


@pytest.mark.parametrize("name", ["full", "lora", "loreft"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_batch_keeps_what_two_rows_foretell(name, attention, model):
    model.set_attn_implementation(attention)
    tuned = adapted(name, model)
    kept = kept_by(tuned, Sft(), [row(16, 4), row(30, 6), row(48, 12)], pad=0)
    assert (kept.per_square > 1) == (attention == "eager")
    rows = [row(64, 16), row(64, 16), row(64, 16)]
    activations, logits = _saved(tuned, Whole(), rows, 0)
    assert kept.activations(Shape(3, 64, 48)) == pytest.approx(activations, rel=0.1)
    assert kept.per_logit * 48 == pytest.approx(logits, rel=0.02)
    assert logits >= 48 * 260 * 4


def test_looking_changes_nothing(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kept_by(model.train(), Sft(), [row(16, 4), row(30, 6)], pad=0)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(value.grad is None for value in model.parameters())


def test_weights_gradients_and_moments_are_counted(model, make_model):
    count = sum(value.numel() for value in model.parameters())
    shape, kept = Shape(2, 10, 4), Kept(100.0, 0.0, 10.0)
    full = memory_of(adapted("full", model), kept, shape)
    assert (full.gradients, full.optimizer) == (4 * count, 8 * count)
    assert 4 * count <= full.weights <= 4 * count + 1000  # buffers
    lora = memory_of(adapted("lora", make_model(), rank=2), kept, shape)
    trained = 2 * sum(sum(part.weight.shape) for part in _targets(make_model()))
    assert (lora.gradients, lora.optimizer) == (4 * trained, 8 * trained)
    assert full.activations == lora.activations == 2 * 10 * 100
    assert full.logits == 4 * (10 + 260 * 4)


def _targets(model):
    return [part for name, part in model.named_modules() if name.endswith("proj")]


def test_the_largest_batch_is_not_always_that_of_most_rows():
    kept = Kept(10.0, 1.0, 1000.0)
    assert largest([Shape(8, 10, 8), Shape(1, 80, 2), Shape(2, 20, 4)], kept) == Shape(8, 10, 8)
    assert largest([Shape(8, 10, 8), Shape(1, 150, 2)], kept) == Shape(1, 150, 2)


@pytest.mark.parametrize("packing", [False, True])
def test_an_arm_that_fits_and_one_that_does_not(packing, model_folder, dataset, monkeypatch):
    arm = Arm(adapter="full", steps=2, batch_size=8, packing=packing)
    data = dataset([("q" * 20, "a" * 9)] * 16)
    estimate(arm, model=model_folder, data=data)  # what is imported with the first model is counted with it
    found = estimate(arm, model=model_folder, data=data)
    assert found.fits
    assert found.advice == ()
    assert found.memory.shape.rows == (1 if packing else 8)
    monkeypatch.setattr("train.estimating.available", lambda device: int(found.memory.peak * 0.7))
    tight = estimate(arm, model=model_folder, data=data)
    assert not tight.fits
    what = r"batch_tokens (\d+)" if packing else r"batch_size (\d+) and accumulate \d+"
    told = re.fullmatch(what + r" \(the same training, about 0\.0 GiB\)", tight.advice[0])
    assert told
    less = {"batch_tokens" if packing else "batch_size": int(told[1])}
    assert estimate(arm.model_copy(update=less), model=model_folder, data=data).memory.peak < found.memory.peak * 0.8
    monkeypatch.setattr("train.estimating.available", lambda device: 1000)
    hopeless = estimate(arm, model=model_folder, data=data)
    assert hopeless.advice[-2].startswith("adapter lora: no gradients and moments of the model's own weights")
    assert re.fullmatch(r"a smaller model, or a machine with 0\.0 GiB more", hopeless.advice[-1])


def test_checkpointing_is_tried_with_the_passes_that_go_with_it(model_folder, dataset, monkeypatch):
    arm, data = Arm(adapter="full", steps=1, batch_size=1, packing=False), dataset([("q" * 30, "a" * 9)] * 4)
    memory = estimate(arm, model=model_folder, data=data).memory
    seen = []

    def look(training, rows):
        seen.append({type(part).__name__ for part in training.passes.parts})
        return recorded_pass(training, rows)

    monkeypatch.setattr("train.estimating.recorded_pass", look)
    monkeypatch.setattr("train.estimating.available", lambda device: memory.weights + memory.gradients + 1)
    tight = estimate(arm, model=model_folder, data=data)
    assert "LastNetwork" in seen[0]
    assert "LastNetwork" not in seen[1], "it is whole where it is computed twice"
    assert tight.advice[-1].startswith("a smaller model")


def test_what_surely_fits_is_tried(model_folder, dataset, monkeypatch):
    """Steps of the training itself, the largest batch among them; a system that tells nothing leaves it computed."""
    data = dataset([("q" * 5, "a" * 9)] * 30 + [("q" * 40, "a" * 30)] * 2)
    seen = []

    def tried(training, steps):
        seen.append((training, steps))
        return highest_of_steps(training, steps)

    monkeypatch.setattr("train.estimating.highest_of_steps", tried)
    arm = Arm(adapter="full", batch_size=4, learning_rate=0.5)
    found = estimate(arm, model=model_folder, data=data, seed=3)
    training, steps = seen[0]
    assert found.measured
    assert [len(step) for step in steps] == [4, 4, 4]
    epoch = list(itertools.islice(training.stream.after(0), training.stream.steps_per_epoch))
    assert steps[0] == epoch[0]
    assert sum(map(len, steps[1])) == sum(map(len, steps[2])) == max(sum(map(len, step)) for step in epoch)
    assert training.attention is not None
    assert found.memory.peak >= found.memory.weights + found.memory.gradients + found.memory.optimizer
    monkeypatch.setattr("train.estimating.highest_of_steps", lambda training, steps: None)
    assert not estimate(arm, model=model_folder, data=data, seed=3).measured


def test_more_rows_longer_rows_and_full_take_more(model_folder, dataset, monkeypatch):
    monkeypatch.setattr("train.estimating._SURELY", 1e9)  # computed: a process is too coarse for a model this small
    data = dataset([("q" * size, "a" * 9) for size in (5, 20, 40, 60)] * 4)
    peaks = [
        estimate(Arm(adapter=name, steps=1, batch_size=size), model=model_folder, data=data).memory.peak
        for name, size in (("full", 16), ("full", 2), ("loreft", 2))
    ]
    assert peaks == sorted(peaks, reverse=True)


def test_an_estimate_looks_at_the_passes_that_train(model_folder, dataset, monkeypatch):
    seen = []

    def look(training, rows):
        seen.append({type(part).__name__ for part in training.passes.parts})

    monkeypatch.setattr("train.estimating.recorded_pass", look)
    monkeypatch.setattr("train.estimating._SURELY", 1e9)  # tried by no training
    arm = Arm(adapter="full", steps=1, batch_size=2)
    assert not estimate(arm, model=model_folder, data=dataset()).measured
    assert seen[0] >= {"FusedLayers", "FusedPasses", "LastNetwork"}
    estimate(arm.model_copy(update={"compile": True}), model=model_folder, data=dataset())
    assert not seen[1], "nothing is compiled for a look"


def test_documents_of_a_packed_batch_attend_to_themselves():
    kept = Kept(10.0, 1.0, 0.0)
    assert Shape(3, 10, 0).squares == 300
    assert Shape(1, 30, 0, packed=300).squares == 300
    assert kept.activations(Shape(1, 30, 0, packed=300)) == kept.activations(Shape(3, 10, 0)) == 600


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells")
def test_the_highest_resident_size_begins_anew():
    block = bytearray(64 << 20)
    block[:: 1 << 12] = b"1" * (len(block) >> 12)
    del block
    assert highest_resident() >= resident() + (32 << 20)
    assert forget_highest()
    assert highest_resident() < resident() + (16 << 20)


def test_own_texts_are_made_before_they_are_measured(model_folder, dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path / "cache"))
    arm = Arm(adapter="full", steps=1, replay={"from": "self", "share": 0.5, "rows": 2})
    assert estimate(arm, model=model_folder, data=dataset()).fits


def test_pairs_are_measured_and_by_what_they_take_side_by_side(model_folder, table, tmp_path):
    def file(name, answers):
        rows = [{"turns": [("user", "q" * 9), ("assistant", chosen)], "worse": worse} for chosen, worse in answers]
        write_table(tmp_path / name, table(*rows))
        return tmp_path / name

    near = [("a" * (60 - number), "b" * (60 + number)) for number in range(1, 9)]  # all of one length together
    arm = Arm(objective="dpo", steps=1, batch_size=4)
    found = estimate(arm, model=model_folder, data=file("near.parquet", near)).memory
    longer = estimate(arm, model=model_folder, data=file("even.parquet", [("a" * 68, "b" * 67)] * 8)).memory
    assert found.shape.length == 2 * 80, "both are padded to the longest answer"
    assert found.activations == pytest.approx(longer.activations, rel=0.3)


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_s_limit_is_what_is_free(version, tmp_path, monkeypatch):
    root, own = tmp_path / "groups", tmp_path / "own"
    monkeypatch.setattr("train.process._GROUPS", root)
    monkeypatch.setattr("train.process._OWN_GROUPS", own)
    assert available("cpu") > 2**20, "no groups at all"
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    folder = root / "jobs" / "mine" if version == 2 else root / "memory" / "jobs" / "mine"
    own.write_text("0::/jobs/mine\n" if version == 2 else "5:devices:/\n4:memory:/jobs/mine\n")
    assert available("cpu") > 2**20, "groups without files, as the root's"

    def limit(place, most, used, files):
        place.mkdir(parents=True, exist_ok=True)
        for name, value in zip((*names, "memory.stat"), (most, used, f"anon 5\ninactive_file {files}"), strict=True):
            (place / name).write_text(f"{value}\n")

    limit(folder, "max", 700, 0)
    limit(folder.parent, 1000, 900, 300)
    assert available("cpu") == 400, "the limit of a group above it, with files that can be read again"
    limit(folder, 1000, 950, 0)
    assert available("cpu") == 50
    limit(folder, 1000, 1100, 0)
    assert available("cpu") == 0


def test_a_training_that_diverges_says_so_before_it_runs(model_folder, dataset):
    with pytest.raises(Diverged, match="became nan"):
        estimate(Arm(adapter="full", learning_rate=1e30, batch_size=2), model=model_folder, data=dataset())


def test_a_look_leaves_nothing_behind(model, make_model):
    """What autograd saves is looked at through a hook, which must not hold it."""
    import gc
    import weakref

    def looked() -> list[weakref.ref]:
        other = make_model()
        kept_by(other, Sft(), [row(40, 8), row(20, 4)], pad=0)
        return [weakref.ref(weight) for weight in other.parameters()]

    held = looked()
    gc.collect()
    assert not any(weight() is not None for weight in held)


def test_what_is_not_sure_to_fit_is_not_tried(model_folder, dataset, monkeypatch):
    """General rows, longer than those that are trained, count; so does what is free beside the training."""
    tried = []
    monkeypatch.setattr("train.estimating.highest_of_steps", lambda training, steps: tried.append(steps))
    monkeypatch.setattr("train.estimating._SPARE", 0)
    data = dataset([("q" * 5, "a" * 5)] * 8)
    arm = Arm(adapter="full", batch_size=2)
    need = estimate(arm, model=model_folder, data=data).memory.peak
    assert len(tried) == 1
    monkeypatch.setattr("train.estimating.available", lambda device: 30 * need)
    estimate(arm, model=model_folder, data=data)
    assert len(tried) == 2
    monkeypatch.setattr("train.estimating._rehearsed", lambda training, kept: 30 * need)
    estimate(arm, model=model_folder, data=data)
    assert len(tried) == 2


def test_a_trial_that_took_more_than_is_free_says_what_to_change(model_folder, dataset, monkeypatch):
    monkeypatch.setattr("train.estimating.highest_of_steps", lambda training, steps: 2**50)
    found = estimate(Arm(adapter="full", batch_size=4), model=model_folder, data=dataset([("q" * 9, "a" * 9)] * 8))
    assert found.measured
    assert not found.fits
    assert found.advice


def test_of_a_step_of_many_batches_a_few_are_tried(model_folder, dataset, monkeypatch):
    seen = []
    monkeypatch.setattr("train.estimating.highest_of_steps", lambda training, steps: seen.extend(steps))
    data = dataset([("q" * (5 + number % 40), "a" * 9) for number in range(64)])
    arm = Arm(adapter="full", batch_size=2, accumulate=32, packing=False)
    estimate(arm, model=model_folder, data=data)
    assert [len(rows) for rows in seen] == [16, 4, 4]
    assert max(map(len, seen[1])) == max(len(row) for rows in seen for row in rows)


def test_a_control_group_of_any_kind_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("train.process._OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr("train.process._GROUPS", tmp_path / "groups")
    folder = tmp_path / "groups" / "cpu,memory" / "x"
    folder.mkdir(parents=True)
    for name, text in (("limit_in_bytes", "1000"), ("usage_in_bytes", "10"), ("stat", "inactive_file 5\n\nodd")):
        (folder / f"memory.{name}").write_text(text)
    (tmp_path / "own").write_bytes("0::/B\u00fcro.scope\n\nodd\n4:cpu,memory:/x\n".encode())
    assert available("cpu") == 995
    (folder / "memory.stat").write_text("inactive_file x\n")
    assert available("cpu") > 10**6


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells")
def test_the_most_that_lay_in_memory_is_not_forgotten():
    block = bytearray(64 << 20)
    block[:: 1 << 12] = b"1" * (len(block) >> 12)
    most = most_resident()
    del block
    assert forget_highest()
    assert most_resident() >= most - (4 << 20)  # the kernel counts in portions
