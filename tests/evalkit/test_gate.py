"""The gate: pass, regressed, unsure, and their exit codes."""

from __future__ import annotations

import pytest

from evalkit import compare, gate
from evalkit.log import TaskInfo


@pytest.fixture
def judge(make_log, make_scores):
    def run(tables, infos=None, **options):
        scores = {name: make_scores(*table) for name, table in tables.items()}
        before = make_log({name: pair[0] for name, pair in scores.items()}, infos=infos)
        after = make_log({name: pair[1] for name, pair in scores.items()}, infos=infos, model="tuned")
        return gate(compare(before, after), **options)

    return run


def test_nothing_lost_passes_though_single_rows_are_unsure(judge):
    answer = judge({name: (14, 14, 400, 72) for name in "abcdefgh"})
    assert (answer.status, answer.exit_code) == ("pass", 0)
    assert answer.sentence.startswith("Nothing regressed; ruled out: suite loss > 0.")


def test_one_regressed_task_is_enough(judge):
    answer = judge({"a": (14, 14, 400, 72), "sums": (90, 10, 300, 100)})
    assert (answer.status, answer.exit_code) == ("regressed", 3)
    assert answer.sentence == "sums lost 16.0 points (between 12.5 and 19.8, tolerable 2.0)."


def test_the_mean_alone_may_regress(judge):
    """Ten losses, none certain by itself after Holm, together certain."""
    answer = judge({f"t{number}": (24, 10, 366, 100) for number in range(10)})
    assert answer.status == "regressed"
    assert answer.sentence.startswith("No task alone, but the suite's mean lost 2.8 points")


def test_too_few_items_are_unsure_unless_allowed(judge):
    answer = judge({"a": (2, 1, 30, 7)})
    assert (answer.status, answer.exit_code) == ("unsure", 4)
    assert "Not enough items to say" in answer.sentence
    assert judge({"a": (2, 1, 30, 7)}, allow_unsure=True).exit_code == 0
    assert judge({"a": (90, 10, 300, 100)}, allow_unsure=True).exit_code == 3


def test_the_trained_task_has_no_say(judge):
    infos = {"own": TaskInfo(kind="gain")}
    assert judge({"own": (90, 10, 300, 100), "a": (1, 1, 900, 98)}, infos).status == "pass"
    alone = judge({"own": (0, 100, 300, 100)}, infos)
    assert alone.status == "unsure"
    assert "no general task" in alone.sentence


def test_a_wider_margin_tolerates_more(judge):
    table = {"a": (45, 20, 300, 135)}
    assert judge(table).status == "regressed"
    assert judge(table, {"a": TaskInfo(margin=0.10)}).status == "pass"
