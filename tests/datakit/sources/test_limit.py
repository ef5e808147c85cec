"""``limit`` reads the first rows of a source and no more."""

from __future__ import annotations

import pytest

from datakit.core.errors import SourceError, UsageError
from datakit.sources import read


def test_the_first_rows_over_several_files(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("text\n" + "".join(f"{name}{n}\n" for n in range(5)))
    read_rows = lambda limit: read("*.csv", folder=tmp_path, limit=limit).column("text").to_pylist()  # noqa: E731
    everything = read("*.csv", folder=tmp_path)
    assert read_rows(3) == ["a0", "a1", "a2"]
    assert read_rows(7) == ["a0", "a1", "a2", "a3", "a4", "b0", "b1"]
    assert read_rows(100) == everything.column("text").to_pylist()
    some = read("*.csv", folder=tmp_path, limit=7)
    assert some.column("id").to_pylist() == everything.column("id").to_pylist()[:7]


def test_a_bad_row_behind_the_limit_is_not_read(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n{broken\n')
    assert read("a.jsonl", folder=tmp_path, limit=2).num_rows == 2
    with pytest.raises(SourceError, match=r"a\.jsonl:3"):
        read("a.jsonl", folder=tmp_path, limit=3)


def test_a_limit_is_at_least_one(tmp_path):
    with pytest.raises(UsageError, match="limit"):
        read("a.jsonl", folder=tmp_path, limit=0)
