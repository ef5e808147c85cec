"""Nets before evaluating: each accident on purpose, and none where nothing is wrong."""

from __future__ import annotations

import json
import shutil

import pytest

from datakit.core.chat import ChatSettings
from evalkit import compare
from evalkit.errors import EvalError
from evalkit.evaluate import Session
from evalkit.models.checkpoint import tokenizer_digest, weights_digest
from evalkit.nets import check_tuned, training_warnings, with_notes
from evalkit.suite import load_suite


def trained_with(folder, **chat):
    (folder / "train.json").write_text(json.dumps({"format": 1, "chat": ChatSettings(**chat).model_dump()}))


def test_an_untrained_adapter_is_an_error_before_a_model_is_loaded(model_folder, make_adapter):
    with pytest.raises(EvalError, match="still zero"):
        check_tuned(make_adapter(trained=False), model_folder)
    check_tuned(make_adapter(trained=True), model_folder)


def test_an_adapter_of_another_base_is_an_error(model_folder, make_adapter, make_model):
    other = make_model("other", seed=9)
    with pytest.raises(EvalError, match="another base"):
        check_tuned(make_adapter(base=other), model_folder)


def test_a_copy_of_the_base_is_an_error(model_folder, make_model, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(model_folder, copy)
    with pytest.raises(EvalError, match="has the weights of its base"):
        check_tuned(copy, model_folder)
    check_tuned(make_model(seed=1), model_folder)


def test_what_agrees_with_training_gives_no_warning(chat_folder, make_adapter):
    adapter = make_adapter(base=chat_folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"):
        if (chat_folder / name).exists():
            shutil.copy(chat_folder / name, adapter / name)
    trained_with(adapter)
    assert training_warnings(adapter, chat_folder, chat=ChatSettings()) == []


def test_another_template_and_other_settings_are_told(chat_folder, make_adapter):
    adapter = make_adapter(base=chat_folder)
    for file in chat_folder.glob("*token*"):
        shutil.copy(file, adapter / file.name)
    (adapter / "chat_template.jinja").write_text("{{ messages }}")
    trained_with(adapter, system="Be brief.", template="none")
    said = training_warnings(adapter, chat_folder, chat=ChatSettings())
    assert len(said) == 3
    assert any("another chat template" in line for line in said)
    assert any("template = 'none' and is evaluated with 'auto'" in line for line in said)
    assert any("system = 'Be brief.'" in line for line in said)


def test_a_full_model_with_other_special_tokens_is_told(model_folder, make_model):
    other = make_model("full", seed=1, bos=False)
    said = training_warnings(other, model_folder, chat=ChatSettings())
    assert any("another tokenizer or special tokens than its base" in line for line in said)


def test_checkpoints_kept_below_a_model_are_no_part_of_it(model_folder, make_model, tmp_path):
    full = tmp_path / "full"
    shutil.copytree(make_model("tuned", seed=1), full)
    before = weights_digest(full), tokenizer_digest(full)
    shutil.copytree(model_folder, full / "checkpoints" / "step-5")
    assert (weights_digest(full), tokenizer_digest(full)) == before
    assert training_warnings(full, model_folder, chat=ChatSettings()) == []


def test_a_damaged_train_json_is_named(model_folder, make_adapter):
    adapter = make_adapter()
    (adapter / "train.json").write_text("{")
    with pytest.raises(EvalError, match=r"train\.json"):
        training_warnings(adapter, model_folder, chat=ChatSettings())


def test_warnings_and_cut_prompts_reach_the_comparison(make_model, suite_file, tmp_path, lines):
    """A window of 16 tokens cuts every prompt of the choice task, on both sides."""
    lines(
        suite_file.parent / "choice.jsonl", [{"question": "the cat " * 30, "options": [" sat", " on"], "gold": 0}] * 4
    )
    session = Session(make_model("short", length=16))
    suite = load_suite(suite_file)
    log = session.evaluate(suite.tasks[0])
    noted = with_notes(with_notes(log, ["said once"]), ["said once"])
    found = compare(log, noted)
    assert found.notes.count("said once") == 1
    assert any("were cut at the beginning for 'base'" in note for note in found.notes)
