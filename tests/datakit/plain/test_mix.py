"""Mixing plain files: the proportions asked for, and every row as it stood."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from datakit.cli import root
from datakit.core.errors import UsageError
from datakit.plain.mix import weighed


def write(path: str, rows: int) -> list[str]:
    lines = [f'{{"text": "{path} {n}",  "n": {n}.50}}\n' for n in range(rows)]
    Path(path).write_text("".join(lines))
    return lines


def mix(*arguments: str) -> dict[str, dict[str, int]]:
    done = CliRunner().invoke(root, ["mix", *arguments, "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    found: dict[str, dict[str, int]] = json.loads(done.output)
    return found


def test_weights_rows_and_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    a, b = write("a.jsonl", 40), write("b.jsonl", 10)
    found = mix("a.jsonl:0.7", "b.jsonl:0.3", "--rows", "20", "-o", "c.jsonl")
    assert found["rows"] == {"a.jsonl": 14, "b.jsonl": 6}
    lines = Path("c.jsonl").read_text().splitlines(keepends=True)
    assert len(set(lines)) == 20
    assert set(lines) <= {*a, *b}
    repeated = mix("a.jsonl:1", "b.jsonl:1", "--rows", "80", "--max-repeats", "4", "-o", "c.jsonl")
    assert repeated["rows"] == {"a.jsonl": 40, "b.jsonl": 40}
    assert Counter(Path("c.jsonl").read_text().splitlines(keepends=True)) == Counter(a) + Counter(b * 4)
    refused = CliRunner().invoke(root, ["mix", "a.jsonl:1", "b.jsonl:1", "--rows", "80", "-o", "d.jsonl"])
    assert "max_repeats: 4" in str(refused.exception)
    assert not Path("d.jsonl").exists()


def test_parquet_repeats_rows_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"text": ["a", "b"]}), "a.parquet")
    pq.write_table(pa.table({"text": ["c", "d", "e", "f"]}), "b.parquet")
    mix("a.parquet:1", "b.parquet:1", "--max-repeats", "2", "-o", "c.parquet")
    assert Counter(pq.read_table("c.parquet")["text"].to_pylist()) == Counter("aabbcdef")


def test_what_stands_on_the_command_line() -> None:
    assert weighed(["s3://bucket/a:b.jsonl:0.5", "x.csv:2"])[1] == {"s3://bucket/a:b.jsonl": 0.5, "x.csv": 2.0}
    assert weighed(["a.csv", "s3://bucket/b.csv"]) == (["a.csv", "s3://bucket/b.csv"], None)
    with pytest.raises(UsageError, match="'b' has no weight"):
        weighed(["a:1", "b"])
    with pytest.raises(UsageError, match="twice"):
        weighed(["a:1", "a:2"])
