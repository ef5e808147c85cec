"""What should not come and does: each ends in one clear line, or in a right "unsure"."""

from __future__ import annotations

import errno
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from datakit.core.errors import DiskFull, StorageError
from evalkit import EvalLog, compare, gate
from evalkit.errors import EvalError, NotComparable
from evalkit.log import TaskInfo


def test_logs_without_a_common_task_do_not_pair(make_log):
    one, other = make_log({"a": [1]}), make_log({"b": [1]}, model="tuned")
    with pytest.raises(NotComparable, match="task 'b' is not in the log of 'base'"):
        compare(one, other)
    with pytest.raises(NotComparable, match="share no task") as raised:
        compare(one, other, join="intersection")
    assert "Before: a. After: b" in str(raised.value.hint)


def test_an_empty_intersection_of_items_is_named(make_log):
    def moved(row):
        return row | {"item_id": f"x{row['item_id']}"}

    with pytest.raises(NotComparable, match="share no item of task 'a'"):
        compare(make_log({"a": [1, 0]}), make_log({"a": [1, 0]}, rows=moved), join="intersection")


def test_settings_of_a_task_that_one_log_lacks_do_not_hinder_an_intersection(make_log):
    def settings(*tasks):
        return {"chat": {"template": "auto"}, "tasks": {task: {"num_fewshot": 5, "limit": 10} for task in tasks}}

    both, one = (
        make_log({"a": [1, 0], "b": [1]}, settings=settings("a", "b")),
        make_log({"a": [1, 1]}, settings=settings("a")),
    )
    assert [row.task for row in compare(both, one, join="intersection").general] == ["a"]
    other = make_log({"a": [1, 1]}, settings={"chat": {"template": "auto"}, "tasks": {"a": {"num_fewshot": 0}}})
    with pytest.raises(NotComparable, match=r"tasks\.a\.num_fewshot is 5 before and 0 after"):
        compare(both, other, join="intersection")


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -0.5, 1.5])
def test_a_score_that_is_none_names_its_item(make_log, score):
    with pytest.raises(EvalError, match="'00001' of task 'a'"):
        compare(make_log({"a": [1, 1]}), make_log({"a": [1, score]}, model="tuned"))


@pytest.mark.parametrize(
    ("before", "after", "verdict", "status"),
    [
        ([1.0], [0.0], "unsure", "unsure"),
        ([1.0], [1.0], "unsure", "unsure"),
        ([1.0] * 60, [1.0] * 60, "unsure", "unsure"),
        ([0.0] * 60, [0.0] * 60, "unsure", "unsure"),
        ([1.0] * 400, [1.0] * 400, "held", "pass"),
        ([0.0] * 400, [0.0] * 400, "held", "pass"),
        ([1.0] * 60, [0.0] * 60, "regressed", "regressed"),
        ([0.0] * 60, [1.0] * 60, "gained", "pass"),
    ],
)
def test_one_item_all_right_all_wrong(make_log, before, after, verdict, status):
    found = compare(make_log({"a": before}), make_log({"a": after}, model="tuned"))
    row = found.row("a")
    assert (row.verdict, gate(found).status) == (verdict, status)
    low, high = row.interval
    assert -1 <= low <= row.difference <= high <= 1
    assert high - low > 0  # nothing is ever certain to the point
    assert np.isfinite(row.paired.minimum_detectable_effect)


def test_other_tokenizers_leave_bytes_and_no_kl(make_log):
    info = {"wiki": TaskInfo(kind="drift", metric="nll_per_token", higher_is_better=False)}

    def text(tokens):
        return lambda row: row | {"sum_logprob": -3.0 * tokens, "n_tokens": tokens, "n_bytes": 400}

    found = compare(*(make_log({"wiki": [3.0] * 4}, infos=info, rows=text(tokens)) for tokens in (100, 80)))
    drift = found.drift[0]
    assert (drift.per_token, drift.kl) == (None, None)
    assert drift.bits_per_byte.difference == pytest.approx(-60 / 400 / np.log(2))


def test_a_truncated_log_is_named(make_log, tmp_path):
    path = make_log({"a": [1, 0]}).write(tmp_path)
    table = path.with_suffix(".parquet")
    table.write_bytes(table.read_bytes()[:-40])
    with pytest.raises(StorageError, match=r"suite\.parquet.*not a readable Parquet file"):
        EvalLog.read(path)
    path.write_text(path.read_text()[:-20])
    with pytest.raises(StorageError, match=r"suite\.json.*not valid JSON"):
        EvalLog.read(path)


def test_a_full_disk_leaves_the_log_before_it_whole(make_log, tmp_path, monkeypatch):
    path = make_log({"a": [1, 0]}).write(tmp_path)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(DiskFull, match="no space left"):
        make_log({"a": [0, 0]}).write(tmp_path)
    assert EvalLog.read(path).items.column("score").to_pylist() == [1.0, 0.0]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["suite.json", "suite.parquet"]


def test_reports_and_gates_come_without_torch(suite_logs, tmp_path):
    logs = suite_logs({"lora": 0.01}, items=200)
    for name, log in logs.items():
        log.write(tmp_path / "evals" / ("base" if name == "base" else f"{name}-1"))
    code = (
        "import sys; from pathlib import Path; from evalkit.report import from_run, write_report; "
        f"run = Path({str(tmp_path)!r}); report = from_run(run); write_report(report, run); report.arms[0].gate; "
        "heavy = {'torch', 'transformers', 'datasets', 'lm_eval', 'peft'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
