"""KL to the base against torch's own on each text alone, for adapters and full models; the noise floor beside it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from evalkit import compare
from evalkit.errors import EvalError
from evalkit.evaluate import Session
from evalkit.kl import measure_kl, with_kl
from evalkit.noise import noise_floor, noise_of, recorded_noise, with_noise
from evalkit.owntask import data_task
from evalkit.suite import Suite, load_suite


def reference(first, second, ids: list[int]) -> float:
    """KL by torch, one text at a time, no padding."""
    import torch

    with torch.inference_mode():
        p, q = (model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1) for model in (first, second))
    return float(torch.nn.functional.kl_div(q, p, log_target=True, reduction="sum")) / len(ids)


def load(folder: Path, adapter: Path | None = None):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    return model if adapter is None else PeftModel.from_pretrained(model, adapter)


def prose(folder: Path, suite: Path) -> dict[str, list[int]]:
    from datakit.core.checkpoint import load_tokenizer

    tokenizer = load_tokenizer(folder)
    texts = (suite.parent / "text.txt").read_text().splitlines()
    return {text: tokenizer(text)["input_ids"] for text in texts}


def test_an_adapter_is_switched_off_for_the_base(model_folder, make_adapter, suite_file):
    adapter, session = make_adapter(seed=3), Session(model_folder)
    log = session.evaluate(suite_file, adapter=adapter, label="tuned")
    found = measure_kl(session, load_suite(suite_file), adapter=adapter)
    assert list(found) == ["prose"]
    filled = with_kl(log, found)
    first, second = load(model_folder), load(model_folder, adapter)
    rows = [row for row in filled.primary().to_pylist() if row["task"] == "prose"]
    ids = prose(model_folder, suite_file)
    assert len(rows) == len(ids) == 6
    for row in rows:
        assert row["kl_to_base"] == pytest.approx(reference(first, second, ids[row["prompt"]]), rel=1e-4)
        assert row["kl_to_base"] > 0.001
    assert all(row["kl_to_base"] is None for row in filled.primary().to_pylist() if row["task"] != "prose")
    drift = compare(session.evaluate(suite_file), filled).drift[0]
    weights = [row["n_tokens"] for row in rows]
    mean = sum(row["kl_to_base"] * weight for row, weight in zip(rows, weights, strict=True)) / sum(weights)
    assert drift.kl == pytest.approx(mean)


def test_a_full_model_stands_beside_its_base(model_folder, make_model, suite_file):
    other = make_model(seed=7)
    found = measure_kl(Session(model_folder), load_suite(suite_file), tuned=Session(other))["prose"]
    ids = prose(model_folder, suite_file)
    values = sorted(reference(load(model_folder), load(other), own) for own in ids.values())
    assert sorted(found.values()) == pytest.approx(values, rel=1e-4)


def test_task_inputs_are_what_the_task_asks(model_folder, make_adapter, test_rows):
    """The prompts of the user's own rows, and a mean of them in the gain row."""
    from datakit.core.checkpoint import load_tokenizer

    adapter, session = make_adapter(seed=4), Session(model_folder)
    suite = Suite("task", (data_task(test_rows(count=6, open_rows=2)),))
    found = measure_kl(session, suite, adapter=adapter)["task"]
    tuned = with_kl(session.evaluate(suite, adapter=adapter, label="tuned"), {"task": found})
    assert len(found) == 8
    tokenizer, first, second = load_tokenizer(model_folder), load(model_folder), load(model_folder, adapter)
    for row in tuned.primary().to_pylist():
        ids = tokenizer(row["prompt"])["input_ids"]
        assert row["kl_to_base"] == pytest.approx(reference(first, second, ids), rel=1e-4)
    row = compare(session.evaluate(suite), tuned).row("task")
    assert row.kl == pytest.approx(sum(found.values()) / 8)


def test_a_model_has_no_distance_to_itself(model_folder, make_model, suite_file):
    found = measure_kl(Session(model_folder), load_suite(suite_file), tuned=Session(make_model(seed=0)))
    assert all(0 <= value < 1e-6 for value in found["prose"].values())


def test_what_was_measured_is_not_measured_again(model_folder, make_adapter, suite_file, monkeypatch):
    adapter, suite = make_adapter(seed=5), load_suite(suite_file)
    first = measure_kl(Session(model_folder), suite, adapter=adapter)
    again = Session(model_folder)
    monkeypatch.setattr(again, "load", lambda: pytest.fail("a model was loaded"))
    assert measure_kl(again, suite, adapter=adapter) == first


def test_another_vocabulary_has_no_kl(model_folder, make_model, suite_file):
    other = make_model(seed=1)
    file = other / "tokenizer.json"
    content = json.loads(file.read_text())
    words = content["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    file.write_text(json.dumps(content))
    with pytest.raises(EvalError, match="another vocabulary"):
        measure_kl(Session(model_folder), load_suite(suite_file), tuned=Session(other))


def test_two_models_that_do_not_fit_are_not_loaded(model_folder, make_model, suite_file, monkeypatch):
    monkeypatch.setattr("os.sysconf", lambda name: 1)
    with pytest.raises(EvalError, match="GB are free"):
        measure_kl(Session(model_folder), load_suite(suite_file), tuned=Session(make_model(seed=1)))


def test_mocks_and_general_tasks_have_none(model_folder, make_adapter, suite_file):
    suite = load_suite(suite_file)
    assert measure_kl(Session("mock"), suite, adapter=Path("x")) == {}
    general = Suite("general", suite.tasks[:1])
    assert measure_kl(Session(model_folder), general, adapter=make_adapter()) == {}
    with pytest.raises(EvalError, match="one tuned model"):
        measure_kl(Session(model_folder), suite)


def test_the_noise_floor_of_a_sound_model_is_nothing(model_folder, suite_file, monkeypatch):
    session, suite = Session(model_folder), load_suite(suite_file)
    base = session.evaluate(suite)
    noise = noise_floor(session, suite, base)
    assert (noise.items, noise.flipped) == (46, 0)
    assert 0 <= noise.largest < 1e-3
    assert noise.batch_tokens[0] > noise.batch_tokens[1]
    again = Session(model_folder)
    monkeypatch.setattr(again, "load", lambda: pytest.fail("a model was loaded"))
    assert noise_floor(again, suite, base) == noise
    assert recorded_noise(with_noise(base, noise)) == noise
    assert recorded_noise(base) is None


def test_noise_counts_flips_and_the_largest_change(make_log):
    def rows(shift):
        return lambda row: row | {"choice_logprobs": [-1.0, -2.0 - shift * int(row["item_id"])]}

    first = make_log({"a": [1, 1, 0, 0]}, rows=rows(0))
    second = make_log({"a": [1, 0, 0, 0]}, rows=rows(0.01))
    noise = noise_of(first, second)
    assert (noise.items, noise.flipped) == (4, 1)
    assert math.isclose(noise.largest, 0.03)
    tuned = make_log({"a": [0, 0, 0, 0]}, model="tuned")
    notes = compare(with_noise(first, noise), tuned).notes
    assert any("1 of 4 items otherwise" in note for note in notes)
