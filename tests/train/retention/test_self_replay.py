from __future__ import annotations

import copy

import pytest
import torch

from datakit.core.chat import ChatSettings
from datakit.core.storage import read_json, read_table, write_table
from train import Arm, TrainError, fit
from train.data import Stream, collate
from train.loop import Training, run_steps
from train.losses import nll
from train.masking import text_rows
from train.objectives.sft import Sft
from train.retention import self_replay
from train.retention.self_replay import with_own_texts

ARM = Arm(max_truncated=0.5, replay={"from": "self", "rows": 5, "share": 0.4}, steps=2, batch_size=4, max_length=40)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path / "cache"))


def own(model, seed=1, arm=ARM, **files):
    path = with_own_texts(arm, files, model=model, chat=ChatSettings(), seed=seed, offline=True)["self"]
    return read_table(path).to_pylist()


def test_texts_are_a_function_of_the_seed_and_made_once(model_folder, monkeypatch):
    first = own(model_folder)
    assert len(first) == 5
    assert len({row["text"] for row in first}) > 1
    assert own(model_folder, seed=2) != first
    monkeypatch.setattr(self_replay, "generate_rows", None)
    assert own(model_folder) == first


def test_conversations_are_answered_and_texts_gone_on_with(model_folder, tmp_path, table):
    write_table(
        tmp_path / "prompts.parquet",
        table({"turns": [("user", "say"), ("assistant", "no")]}, {"text": "the tide comes in"}),
    )
    arm = Arm(replay={"from": "self", "prompts": "p", "rows": 4}, max_length=60)
    rows = own(model_folder, arm=arm, p=tmp_path / "prompts.parquet")
    talks = [row["messages"] for row in rows if row["messages"]]
    texts = [row["text"] for row in rows if row["text"]]
    assert len(talks) == len(texts) == 2
    assert all(
        [turn["role"] for turn in talk] == ["user", "assistant"] and talk[1]["content"] != "no" for talk in talks
    )
    assert all(text.startswith("the tid") for text in texts)


def test_a_training_replays_them(model_folder, dataset, tmp_path):
    fit(ARM, model=model_folder, data=dataset(), output=tmp_path / "out", seed=3)
    record = read_json(tmp_path / "out" / "train.json")
    assert record["rows"]["replay"] >= 5  # long texts are several rows
    assert record["arm"]["replay"]["from"] == "self"


def test_unknown_prompts_are_refused(model_folder):
    with pytest.raises(TrainError, match="no replay source named 'p'"):
        own(model_folder, arm=Arm(replay={"from": "self", "prompts": "p"}))


SAID = ["boats rise with the tide", "low water again", "the sea is never still"]


@pytest.fixture(scope="module")
def knowing(model_folder, tokenizer, tmp_path_factory):
    """A model that says three sentences by heart, and nothing else."""
    from datakit.core.checkpoint import load_model

    folder = tmp_path_factory.mktemp("knowing")
    model = load_model(model_folder, dtype="float32")
    rows = [row for text in SAID for row in text_rows(text, text, tokenizer, max_length=64)]
    arm = Arm(adapter="full", learning_rate=1e-2, batch_size=4)
    run_steps(Training(model, Sft(), Stream(rows, rows_per_step=4, seed=0), [], arm, steps=80, pad=0))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, rows


def surprise(folder, rows):
    """Nats per token of what the start model says by heart."""
    from datakit.core.checkpoint import load_model

    batch = collate(rows, pad=0)
    with torch.no_grad():
        return nll(load_model(folder, dtype="float32"), batch).total.item() / batch.weight


@pytest.mark.parametrize("removed", ["", "its own", "the rows"])
def test_what_it_said_by_itself_is_kept_and_not_without_its_own_texts(removed, knowing, dataset, tmp_path, monkeypatch):
    """Removed are the texts' being its own, whose place noise takes, and then their place among the rows."""
    folder, rows = knowing
    arm = Arm(
        adapter="full",
        learning_rate=5e-3,
        steps=25,
        batch_size=8,
        replay={"from": "self", "rows": 24, "share": 0.4},
        max_length=64,
    )
    if removed == "its own":
        noise = [{"id": str(at), "messages": None, "text": f"{at * 7919 % 1000}?" * 6} for at in range(24)]
        monkeypatch.setattr(self_replay, "generate_rows", lambda *args, **settings: copy.deepcopy(noise))
    if removed == "the rows":
        stream = Stream.__init__
        monkeypatch.setattr(Stream, "__init__", lambda self, own, **given: stream(self, own, **given | {"replay": ()}))
    before = surprise(folder, rows)
    fit(arm, model=folder, data=dataset(), output=tmp_path / "out", seed=1)
    assert (surprise(tmp_path / "out", rows) < before + 0.7) is (removed == "")
