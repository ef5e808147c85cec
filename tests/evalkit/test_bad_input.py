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


def test_a_log_without_items_is_named(make_log):
    empty, other = make_log({"a": []}, model="none"), make_log({"a": [1, 0]})
    for pair in ((other, empty), (empty, other), (empty, empty)):
        with pytest.raises(NotComparable, match=r"the log of 'none'.* has no item of task 'a'"):
            compare(*pair)


def test_two_logs_of_one_name_are_told_apart(make_log):
    with pytest.raises(NotComparable, match=r"in the log of 'base' \(before\) and not in that of 'base' \(after\)"):
        compare(make_log({"a": [1, 0, 1]}), make_log({"a": [1, 0]}))


@pytest.mark.parametrize(
    ("chance", "right", "said"), [(0.0, 0, True), (0.25, 25, True), (0.25, 60, False), (0.0, 1, False)]
)
def test_a_task_that_the_base_cannot_do_says_so(make_log, chance, right, said):
    scores = [1.0] * right + [0.0] * (100 - right)
    log = make_log({"a": scores}, infos={"a": TaskInfo(chance=chance)})
    assert any("cannot be forgotten" in note for note in compare(log, log).notes) == said


def test_texts_cannot_steer_the_terminal_or_the_comment(make_log, make_scores):
    from evalkit.report import from_logs
    from evalkit.report.markdown import markdown
    from evalkit.report.terminal import lines

    nasty = "\x1b[31mred\x1b[0m \x00 \x07 \u202egnp.exe \x9b2J"
    before, after = make_scores(30, 0, 30, 0)
    rows = {"rows": lambda row: row | {"prompt": nasty, "answer": nasty, "target": nasty}}
    logs = make_log({f"t{nasty}": before}, **rows), make_log({f"t{nasty}": after}, model=nasty, **rows)
    report = from_logs([logs[0]], {("m", 1): [logs[1]]}, title=nasty)
    for text in (markdown(report), "\n".join(lines(report))):
        assert "gnp.exe" in text
        assert not [char for char in text if char in "\x00\x07\x1b\x9b\u202e"]
