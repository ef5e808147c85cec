from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from train import Arm, TrainError, fit
from train.losses import nll
from train.objectives import text
from train.objectives.text import Text, document_rows

WORDS = "the tide comes in and the tide goes out, and the boats rise with it"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.text(min_size=1, max_size=60).filter(str.strip), max_length=st.integers(2, 20))
def test_every_token_but_the_first_is_trained_once_whatever_the_length_of_a_row(tokenizer, encoder, words, max_length):
    rows = document_rows("d", words, encoder(tokenizer, max_length=max_length))
    whole = document_rows("d", words, encoder(tokenizer, max_length=10_000))
    assert len(whole) == 1
    assert all(len(row) <= max_length for row in rows)
    trained = np.concatenate([row.ids[row.trained] for row in rows])
    assert trained.tolist() == whole[0].ids[1:].tolist()
    assert whole[0].ids[-1] == tokenizer.eos_token_id


def test_the_loss_of_a_short_text_is_the_models_own(model, tokenizer, encoder, table):
    row = Text().encode(table({"text": WORDS}), encoder(tokenizer)).rows[0]
    ids = torch.from_numpy(row.ids).long()[None]
    theirs = model(input_ids=ids, labels=ids).loss * (len(row) - 1)
    assert Text().loss(model, Text().collate([row], pad=0)).total.item() == pytest.approx(theirs.item(), rel=1e-5)


@pytest.mark.parametrize("removed", [False, True])
def test_learns_a_text_and_not_without_the_loss(removed, model, tokenizer, encoder, table, run, monkeypatch):
    if removed:

        def nothing(model, batch):
            found = nll(model, batch)
            return type(found)(found.total * 0.0)

        monkeypatch.setattr(text, "nll", nothing)
    rows = Text().encode(table({"text": WORDS}), encoder(tokenizer, max_length=24)).rows
    batch = Text().collate(rows, pad=0)
    before = nll(model, batch).total.item()
    run(model, Text(), rows, steps=30)
    assert (nll(model, batch).total.item() < 0.5 * before) is not removed


@pytest.mark.parametrize("words", ["", "  ", None])
def test_an_empty_text_is_refused_by_name(words, tokenizer, encoder, table):
    with pytest.raises(TrainError, match="row row0"):
        Text().encode(table({"text": words}), encoder(tokenizer))


def test_trains_a_built_dataset_of_texts_and_validates_on_it(model_folder, tmp_path, table):
    from datakit.core.storage import write_table

    for split in ("train", "validation"):
        write_table(tmp_path / "data" / f"{split}-00000.parquet", table({"text": WORDS}, {"text": WORDS[:20]}))
    arm = Arm(objective="text", adapter="full", learning_rate=1e-2, steps=10, max_length=32)
    found = fit(arm, model=model_folder, data=tmp_path / "data", output=tmp_path / "out")
    losses = [entry["validation_loss"] for entry in found.history if "validation_loss" in entry]
    assert losses[-1] < losses[0] - 0.5


def test_a_dataset_without_text_is_refused(model_folder, tmp_path):
    import pyarrow as pa

    from datakit.core.storage import write_table

    write_table(tmp_path / "rows.parquet", pa.table({"id": ["a"], "label": ["b"]}))
    with pytest.raises(TrainError, match="no column 'text'"):
        fit(Arm(objective="text"), model=model_folder, data=tmp_path / "rows.parquet", output=tmp_path / "out")
