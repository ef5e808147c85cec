"""A run folder becomes a report; several seeds of an arm are told together."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from datakit.core.errors import NewerFormat
from datakit.core.storage import write_json, write_text
from evalkit.errors import EvalError, LogError
from evalkit.log import EvalLog
from evalkit.report import from_logs, from_run, summaries, write_report
from evalkit.report.words import headline, lead


def test_a_run_folder(run_folder):
    write_json(run_folder / "models" / "lora-1" / "train.json", {"steps": 150, "losses": list(range(500))})
    write_json(run_folder / "manifest.json", {"name": "my run", "arms": ["lora", "full"], "data": {"rows": 5}})
    report = from_run(run_folder)
    assert report.title == "my run"
    assert [(arm.name, arm.seed) for arm in report.arms] == [("lora", 1), ("full", 1)]
    assert report.arms[0].train_facts == {"format": 1, "steps": 150}
    assert report.data_facts == {"rows": 5}
    assert not report.private


def test_arms_and_seeds_that_the_run_no_longer_has_are_left_out(run_folder):
    write_json(run_folder / "manifest.json", {"arms": ["lora"], "cells": ["lora-1"]})
    assert [(arm.name, arm.seed) for arm in from_run(run_folder).arms] == [("lora", 1)]


def test_an_arm_called_like_another_with_a_seed_is_not_taken_for_it(run_folder):
    (run_folder / "evals" / "full-1").rename(run_folder / "evals" / "lora-1-1")
    write_json(run_folder / "manifest.json", {"arms": ["lora", "lora-1"], "cells": ["lora-1", "lora-1-1"]})
    assert [(arm.name, arm.seed) for arm in from_run(run_folder).arms] == [("lora", 1), ("lora-1", 1)]


def test_one_arm_of_it(run_folder):
    assert [arm.name for arm in from_run(run_folder, arm="full").arms] == ["full"]
    with pytest.raises(EvalError, match=r"no arm 'lra'.*Evaluated arms: full, lora"):
        from_run(run_folder, arm="lra")


@pytest.mark.parametrize("where", ["manifest", "recipe"])
def test_a_private_source_anywhere_makes_the_report_private(run_folder, where):
    if where == "manifest":
        write_json(run_folder / "manifest.json", {"data": {"sources": {"tickets": {"private": True}}}})
    else:
        write_text(run_folder / "recipe.yaml", "data:\n  sources:\n    tickets: {path: x.csv, private: true}\n")
    assert from_run(run_folder).private


def test_suite_and_task_in_logs_of_their_own(tmp_path, make_log):
    from evalkit.log import TaskInfo

    own = {"t": TaskInfo(kind="gain")}
    for folder, score in (("base", 0), ("lora-1", 1)):
        make_log({"a": [1, 0, 1]}, model=folder, suite="core").write(tmp_path / "evals" / folder)
        make_log({"t": [score] * 3}, model=folder, infos=own, suite="task").write(tmp_path / "evals" / folder)
    comparison = from_run(tmp_path).arms[0].comparison
    assert [row.task for row in comparison.rows] == ["t", "a"]
    (tmp_path / "evals" / "base" / "core.json").unlink()
    with pytest.raises(EvalError, match="'lora' was evaluated on 'core' and the base was not"):
        from_run(tmp_path)


def test_unfinished_and_damaged_runs(tmp_path, run_folder):
    with pytest.raises(EvalError, match="no evaluation of the base"):
        from_run(tmp_path)
    header = run_folder / "evals" / "lora-1" / "suite.json"
    value = json.loads(header.read_text())
    header.write_text(json.dumps(value | {"tasks": 3}))
    with pytest.raises(LogError, match="not the header of an evaluation log"):
        from_run(run_folder)
    header.write_text(json.dumps(value | {"format": 99}))
    with pytest.raises(NewerFormat):
        from_run(run_folder)


def seeded(make_log, shifts):
    """A base and one arm trained with several seeds, which lose other numbers of items."""
    random = np.random.default_rng(0)
    base = np.ones(600)
    logs = {}
    for seed, shift in enumerate(shifts, start=1):
        after = (random.random(600) >= shift).astype(float)
        logs[("lora", seed)] = [make_log({"a": after, "b": base}, model=f"lora-{seed}")]
    return from_logs([make_log({"a": base, "b": base})], logs, title="seeds")


def test_three_seeds_speak_about_the_method(make_log):
    report = seeded(make_log, [0.00, 0.02, 0.30])
    summary = summaries(report)[0]
    assert summary.seeds == (1, 2, 3)
    assert summary.general is not None
    assert summary.general.interval is not None
    means = [arm.comparison.suite_mean.difference for arm in report.arms]
    assert summary.general.value == pytest.approx(np.mean(means))
    assert summary.general.interval[1] - summary.general.interval[0] > 0.1
    assert summary.general.seed_share is not None
    assert summary.general.seed_share > 0.9
    assert "about the method" in summary.sentence


def test_two_seeds_do_not(make_log):
    summary = summaries(seeded(make_log, [0.01, 0.02]))[0]
    assert summary.general is not None
    assert summary.general.interval is None
    assert "too few" in summary.sentence


def test_no_lucky_seed_stands_for_an_arm(make_log):
    report = seeded(make_log, [0.00, 0.30, 0.30])
    assert headline(report)[0] == "regressed"
    assert lead(report) == "lora: something regressed with two of three seeds."
    assert [arm.gate.status for arm in report.arms] == ["pass", "regressed", "regressed"]


def test_a_changed_log_changes_the_report(run_folder):
    """Nothing of an earlier report is taken over: one answer that turned wrong is counted."""
    write_report(from_run(run_folder, arm="full"), run_folder)
    before = from_run(run_folder, arm="full").arms[0].comparison.general[0]
    (path,) = (run_folder / "evals" / "full-1").glob("*.json")
    log = EvalLog.read(path)
    tasks, scores = (log.items.column(name).to_pylist() for name in ("task", "score"))
    scores[next(at for at, task in enumerate(tasks) if task == before.task and scores[at] == 1)] = 0.0
    place = log.items.schema.get_field_index("score")
    replace(log, items=log.items.set_column(place, "score", pa.array(scores))).write(path.parent)
    wanted = pytest.approx(before.after - 1 / before.n)
    written = write_report(from_run(run_folder, arm="full"), run_folder)
    told = {row["task"]: row["after"] for row in json.loads(written["json"].read_text())["arms"][0]["general"]}
    assert told[before.task] == wanted
