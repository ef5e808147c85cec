from __future__ import annotations

import json

import pytest

from datakit.core.hub import dataset_folder, local_first

datasets = pytest.importorskip("datasets")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "datasets" / "org" / "name"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text(json.dumps({"a": 1}) + "\n")
    return tmp_path


def test_a_dataset_of_the_folder_is_taken_and_the_library_is_left_as_it_was(hub):
    own = datasets.load_dataset
    with local_first(hub):
        assert datasets.load_dataset("org/name", revision="abc")["test"].to_list() == [{"a": 1}]
        with local_first(hub):
            assert datasets.load_dataset(path="org/name", split="test").num_rows == 1
    assert datasets.load_dataset is own


@pytest.mark.parametrize("name", ["../datasets/org/name", "/etc", "", "org/other", "org/../org/name"])
def test_names_that_are_not_there_or_lead_out(hub, name):
    assert dataset_folder(hub, name) is None
    assert dataset_folder(None, "org/name") is None
