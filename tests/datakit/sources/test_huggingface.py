from __future__ import annotations

import json
import socket
import time

import pytest

import datakit
from datakit.core.errors import SourceError, Unreachable
from datakit.sources import SourceSpec, open_source

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf-cache"))


@pytest.fixture
def saved(tmp_path):
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["neg", "pos"]),
            "n": datasets.Value("int32"),
        }
    )
    parts = {
        "train": datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0], "n": [1, 2]}, features=features),
        "test": datasets.Dataset.from_dict({"text": ["c"], "label": [1], "n": [3]}, features=features),
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    return tmp_path


@pytest.mark.parametrize("path", ["saved", "hf:saved"])
def test_a_saved_dataset_with_class_labels(saved, path):
    read = open_source("s", SourceSpec(path=path), folder=saved).read()
    table = read.output.table
    assert table["label"].to_pylist() == ["pos", "neg"]
    assert read.labels == ("neg", "pos")
    assert table["origin"].to_pylist() == [f"{path}/train:1", f"{path}/train:2"]
    assert json.loads(table["fields"][0].as_py()) == {"n": 1}


def test_splits(saved):
    table = open_source("s", SourceSpec(path="saved", split="all"), folder=saved).read().output.table
    assert [json.loads(text)["split"] for text in table["fields"].to_pylist()] == ["train", "train", "test"]
    assert open_source("s", SourceSpec(path="saved", split="test"), folder=saved).read().rows_in == 1
    with pytest.raises(SourceError, match=r"no split 'dev'.*Known: test, train"):
        open_source("s", SourceSpec(path="saved", split="dev"), folder=saved)


def test_a_folder_of_data_files(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "train.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    assert datakit.read("files", folder=tmp_path, format="hf")["text"].to_pylist() == ["a", "b"]


def test_a_folder_that_is_no_dataset(tmp_path):
    (tmp_path / "files").mkdir()
    with pytest.raises(SourceError, match="no dataset that can be loaded") as caught:
        datakit.read("files", folder=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("offline", [True, False])
def test_without_network_the_hub_is_unreachable_at_once(tmp_path, monkeypatch, capfd, offline):
    asked = []

    def refuse(*arguments, **options):
        asked.append(arguments)
        raise socket.gaierror("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("https_proxy", "http_proxy", "all_proxy", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    before = datasets.config.HF_HUB_OFFLINE
    start = time.monotonic()
    with pytest.raises(Unreachable, match="save_to_disk") as caught:
        open_source("s", SourceSpec(path="hf:nobody/nothing:en@main"), folder=tmp_path, offline=offline)
    assert time.monotonic() - start < 5
    assert "\n" not in str(caught.value)
    assert len(asked) == (0 if offline else 1)
    assert capfd.readouterr().err == ""
    assert before == datasets.config.HF_HUB_OFFLINE
