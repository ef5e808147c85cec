"""A validation split without a loss is told, and refused where something is chosen by the loss."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from datakit.core.storage import read_json
from train import Arm, Checked, TrainError, fit

ARM = Arm(adapter="full", learning_rate=1e-3, steps=1, max_length=24)
BEST = ARM.model_validate({**ARM.model_dump(exclude={"epochs"}), "watch": {"every": 1, "keep": "best"}})
LONG = [("a question that is far longer than any row may be here?", "no")] * 2


def told(folder, data, arm=ARM, **more):
    events = []
    fit(arm, model=folder, data=data, output=data.parent / "out", progress=events.append, **more)
    return [event.text for event in events if isinstance(event, Checked) and event.check == "validation"]


def test_rows_that_all_lie_behind_the_longest_length(model_folder, dataset, tmp_path):
    data = dataset([("red?", "yes")] * 4, LONG)
    said = "there is no validation loss: none of the 2 validation rows has a trained token within 24 tokens"
    assert told(model_folder, data) == [said]
    assert said in {one["text"] for one in read_json(tmp_path / "out" / "train.json")["checks"]}
    with pytest.raises(TrainError, match=r"watch\.keep best: there is no validation loss to choose by: none of the 2"):
        told(model_folder, data, BEST)
    with pytest.raises(TrainError, match=r"a grid: there is no validation loss to choose by.*Raise max_length"):
        told(model_folder, data, chooses="a grid")


def test_a_split_without_rows_and_none_at_all(model_folder, dataset):
    data = dataset([("red?", "yes")] * 4, [("blue?", "no")])
    (file,) = data.glob("validation*")
    pq.write_table(pq.read_table(file).slice(0, 0), file)
    assert told(model_folder, data) == ["there is no validation loss: the validation split has no rows"]
    file.unlink()
    assert told(model_folder, data) == [], "whoever makes no split knows"
    with pytest.raises(TrainError, match=r"a grid: .*the data have no validation split"):
        told(model_folder, data, chooses="a grid")


def test_some_rows_that_are_longer_are_counted(model_folder, dataset):
    data = dataset([("red?", "yes")] * 4, [("blue?", "no"), *LONG])
    (said,) = told(model_folder, data, BEST)
    assert said.startswith("2 of 3 validation rows are longer than 24 tokens: 0 lose their end, 2 are left out")
