from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import datakit
from datakit.core.errors import SourceError


def test_parquet_types_reach_fields_as_json(tmp_path):
    table = pa.table(
        {
            "text": ["a", "b"],
            "label": pa.array([0, 1], pa.int8()),
            "when": pa.array([0, 1], pa.timestamp("s")),
            "score": [1.5, float("nan")],
            "tags": [["x"], []],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    read = datakit.read("a.parquet", folder=tmp_path, labels={"column": "label", "names": ["no", "yes"]})
    assert read["label"].to_pylist() == ["no", "yes"]
    assert read["origin"].to_pylist() == ["a.parquet:1", "a.parquet:2"]
    fields = [json.loads(text) for text in read["fields"].to_pylist()]
    assert [field["score"] for field in fields] == [1.5, None]
    assert fields[0]["tags"] == ["x"]
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    assert datakit.read("a.parquet.gz", folder=tmp_path)["text"].to_pylist() == ["a", "b"]


def test_a_file_of_ours_comes_back_as_it_is(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": "x", "n": 1}\n')
    table = datakit.read(tmp_path / "a.jsonl")
    pq.write_table(table, tmp_path / "train-00000-of-00001.parquet")
    assert datakit.read(tmp_path / "train-00000-of-00001.parquet") == table
    assert datakit.read(tmp_path) == table


@pytest.mark.parametrize(
    ("unit", "texts", "lines"),
    [
        ("line", ["one", "two  ", "three"], [1, 2, 5]),
        ("paragraph", ["one\ntwo  ", "three"], [1, 5]),
        ("file", ["one\ntwo  \n\n \nthree"], [1]),
    ],
)
def test_text_by_line_paragraph_or_file(tmp_path, unit, texts, lines):
    (tmp_path / "a.txt").write_text("one\ntwo  \n\n \nthree\n")
    table = datakit.read("a.txt", folder=tmp_path, rows=unit)
    assert table["text"].to_pylist() == texts
    assert table["origin"].to_pylist() == [f"a.txt:{line}" for line in lines]
    assert json.loads(table["fields"][0].as_py()) == {"file": "a.txt"}


def test_text_that_is_not_utf8(tmp_path):
    (tmp_path / "a.txt").write_bytes("fine\ncaf\xe9\n".encode("latin-1"))
    with pytest.raises(SourceError, match=r"^a\.txt:2: byte 4 of the row is not valid utf-8"):
        datakit.read("a.txt", folder=tmp_path)
    assert datakit.read("a.txt", folder=tmp_path, encoding="latin-1")["text"].to_pylist() == ["fine", "café"]
