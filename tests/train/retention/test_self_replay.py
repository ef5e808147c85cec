from __future__ import annotations

import pytest

from datakit.core.chat import ChatSettings
from datakit.core.storage import read_json, read_table, write_table
from train import Arm, TrainError, fit
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
