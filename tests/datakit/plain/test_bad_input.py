"""Whatever a file holds, every command gives a right result or one clear line; no row is lost, nothing crashes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datakit.core.errors import DatakitError
from datakit.core.step import StepContext
from datakit.dedup.step import DedupParams, DedupStep
from datakit.filters.function import FilterParams, FilterStep
from datakit.pii.step import PiiParams, PiiStep
from datakit.plain import PlainResult, open_files, run
from datakit.plain.convert import FILE_FORMATS, convert
from datakit.plain.page import page
from datakit.plain.split import split
from datakit.plain.stats import stats

NASTY: dict[str, bytes] = {
    "empty": b"",
    "one word": b'{"text": "hello"}',
    "long line": b'{"text": "' + b"x " * 5_000_000 + b'"}\n{"text": "a"}\n',
    "nul escaped": b'{"text": "a\\u0000b ann@example.com"}\n{"text": "b"}\n',
    "nul raw": b'{"text": "a\x00b"}\n',
    "lone surrogate": b'{"text": "cut \\ud83d off"}\n{"text": "b"}\n',
    "not utf-8": b'{"text": "\xff\xfe\xfa"}\n',
    "right to left and emoji": '{"text": "שלום עולם \u202e 👩\u200d👩\u200d👧"}\n{"text": "مرحبا"}\n'.encode(),
    "nulls": b'{"text": null, "label": null}\n' * 20,
    "numbers for text": b'{"text": 5}\n{"text": true}\n{"text": "five"}\n',
    "nested": b'{"text": "a", "x": [[[], [[{"a": [1, null]}]]], {}]}\n{"text": "b", "x": []}\n',
    "deep": b'{"text": "a", "x": ' + b"[" * 600 + b"]" * 600 + b"}\n",
    "too deep": b'{"text": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    "huge numbers": b'{"text": "a", "n": 1e999, "m": -0.0, "i": 123456789012345678901234567890}\n',
    "not objects": b'[1, 2]\n"text"\n',
    "many keys": json.dumps({"text": "a", **{f"k{n}": n for n in range(3000)}}).encode(),
    "broken": b'{"text": "a"\n{"text": "b"}\n',
    "blank lines": b'\n\n{"text": "a"}\n\n\n',
    "turns": b'{"messages": [{"role": "user", "content": ""}, {"role": "martian", "content": 3}]}\n{"messages": null}',
}


def keep_all(folder: Path) -> FilterStep:
    (folder / "mine.py").write_text("def check(example):\n    return None\n")
    return FilterStep(FilterParams(use="mine:check"), StepContext(folder=folder))


def rows_of(path: Path) -> int:
    return sum(len(batch.records) for file in open_files([str(path)]) for batch in file.batches())


STEPS: dict[str, Any] = {
    "filter": keep_all,
    "dedup": lambda folder: DedupStep(DedupParams(), StepContext()),
    "pii": lambda folder: PiiStep(PiiParams(), StepContext()),
}


def refusal(call: Callable[[], object], target: Path) -> str | None:
    """The one line of an error, after which nothing may stand at the target; None where there was none."""
    try:
        call()
    except DatakitError as error:
        message = str(error)
    else:
        return None
    assert "\n" not in message
    assert not target.exists()
    return message


def cases() -> list[Any]:
    slow = {("long line", "pii"), ("long line", "dedup")}
    return [
        pytest.param(name, step, marks=[pytest.mark.slow] if (name, step) in slow else [], id=f"{name}-{step}")
        for name in NASTY
        for step in STEPS
    ]


@pytest.mark.parametrize(("name", "step"), cases())
@pytest.mark.parametrize("skip", [False, True])
def test_a_step(name: str, step: str, skip: bool, tmp_path: Path) -> None:
    source, target = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_bytes(NASTY[name])
    files, rows = open_files([str(source)]), rows_of(source)
    results: list[PlainResult] = []

    def call() -> None:
        made = STEPS[step](tmp_path)
        results.append(run(files, [made], str(target), needs_text=False, skip_bad_rows=skip))

    if refusal(call, target) is not None:
        assert not skip or name == "deep"  # recognisers go no deeper than Python does
        return
    beside = Path(f"{target}.dropped.jsonl")
    dropped = beside.read_bytes().splitlines() if beside.exists() else []
    assert all(json.loads(line)["reason"] for line in dropped)
    assert results[0].rows_in == rows == results[0].rows_out + len(dropped)
    assert rows_of(target) == results[0].rows_out
    if step == "filter" and not dropped:
        assert target.read_bytes() == NASTY[name]


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("to", FILE_FORMATS)
def test_converting(name: str, to: str, tmp_path: Path) -> None:
    source, target = tmp_path / "a.jsonl", tmp_path / f"b.{to}"
    source.write_bytes(NASTY[name])
    results: list[PlainResult] = []
    files = open_files([str(source)])
    if refusal(lambda: results.append(convert(files, to, str(target), skip_bad_rows=True)), target) is not None:
        assert to == "parquet", "every other format has a form for JSON"
        return
    assert results[0].rows_in == results[0].rows_out + results[0].dropped.total()
    assert rows_of(target) == results[0].rows_out


@pytest.mark.parametrize("name", NASTY)
def test_stats_and_their_page(name: str, tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes(NASTY[name])
    parts = stats(open_files([str(source)]))
    assert sum(part.rows + part.bad for part in parts) == rows_of(source)
    page(parts, name).encode("utf-8")


@pytest.mark.slow
def test_a_hundred_thousand_equal_rows(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    line = "the same text again and again without an end,x\n"
    source.write_text("text,label\n" + line * 100_000)
    target = tmp_path / "b.csv"
    result = run(open_files([str(source)]), [DedupStep(DedupParams(), StepContext())], str(target))
    assert (result.rows_out, result.dropped.total()) == (1, 99_999)
    assert target.read_text() == "text,label\n" + line
    assert stats(open_files([str(source)]))[0].duplicates == 99_999


def test_a_column_of_nulls_in_parquet(tmp_path: Path) -> None:
    source, target = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "none": pa.nulls(2)}), source)
    for step in STEPS.values():
        run(open_files([str(source)]), [step(tmp_path)], str(target))
        assert pq.read_table(target).equals(pq.read_table(source))
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), source)
    for step in STEPS.values():
        run(open_files([str(source)]), [step(tmp_path)], str(target))
        assert pq.read_table(target).equals(pq.read_table(source))


def test_a_name_that_says_another_format(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(DatakitError, match="no name for csv"):
        convert(open_files([str(tmp_path / "a.jsonl")]), "csv", str(tmp_path / "a.parquet"))


def test_splitting_nothing_or_one_row_is_an_error_that_says_so(tmp_path: Path) -> None:
    from datakit.mixing.split import SplitParams, SplitStep

    source = tmp_path / "a.jsonl"
    for content, message in ((b"", "no rows"), (b'{"text": "one"}\n', "would be empty")):
        source.write_bytes(content)
        with pytest.raises(DatakitError, match=message):
            split(open_files([str(source)]), SplitStep(SplitParams(), StepContext()), str(tmp_path / "out"))
        assert not (tmp_path / "out").exists()
