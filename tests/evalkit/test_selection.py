"""Three tenths to choose on, seven to report on: the same for every model, clusters whole, nothing lost."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from evalkit import compare
from evalkit.log import TaskInfo
from evalkit.selection import asked_while_training, is_selection, may_be_asked, split_log, unseen_log


def ids(log):
    return set(zip(*(log.items.column(name).to_pylist() for name in ("task", "item_id")), strict=True))


def test_the_share_is_three_tenths():
    chosen = sum(is_selection(f"doc {at}") for at in range(5_000))
    assert stats.binomtest(chosen, 5_000, 0.3).pvalue > 0.01


def test_sides_are_disjoint_complete_and_equal_for_two_models(make_log):
    base, tuned = make_log({"a": [1] * 300}), make_log({"a": [0, 1] * 150}, model="tuned")
    sides, others = split_log(base), split_log(tuned)
    assert [ids(side) for side in sides] == [ids(side) for side in others]
    assert not ids(sides[0]) & ids(sides[1])
    assert ids(sides[0]) | ids(sides[1]) == ids(base)
    whole = pa.concat_tables([side.items for side in sides]).sort_by("item_id")
    assert whole.equals(base.items.sort_by("item_id"))
    assert compare(sides[1], others[1]).row("a").n == 300 - sides[0].items.num_rows


def test_clusters_stay_together_and_texts_stand_on_both_sides(make_log):
    infos = {"text": TaskInfo(kind="drift", metric="nll_per_token", higher_is_better=False)}

    def rows(row):
        return row | ({"cluster": f"passage {int(row['item_id']) // 6}"} if row["task"] == "a" else {})

    first, second = split_log(make_log({"a": [1] * 120, "text": [3.0] * 5}, infos=infos, rows=rows))
    passages = [{row["cluster"] for row in side.items.to_pylist() if row["task"] == "a"} for side in (first, second)]
    assert all(passages)
    assert not passages[0] & passages[1]
    assert all(sum(task == "text" for task, _ in ids(side)) == 5 for side in (first, second))


@pytest.mark.parametrize("size", [1, 4])
def test_what_may_be_asked_is_on_the_side_to_choose_on(size, make_log):
    """Whether or not others of its cluster are in the log."""

    def rows(row):
        return row | {"cluster": f"passage {int(row['item_id']) // size}"}

    log = make_log({"a": [1] * 400}, rows=rows)
    asked = {row["item_id"] for row in log.items.to_pylist() if may_be_asked(row["doc_hash"], row["cluster"])}
    assert asked
    assert not asked & {item for _, item in ids(split_log(log)[1])}


def test_a_state_that_was_chosen_looks_better_on_what_it_was_chosen_with(make_log):
    """Of sixty states that are right half the time the best on some items is right half the time on the others."""
    log = make_log({"a": [1] * 400})
    order = {item: at for at, item in enumerate(log.items.column("item_id").to_pylist())}
    left = [order[item] for item in unseen_log(log, "why").items.column("item_id").to_pylist()]
    asked = [order[item] for _, item in ids(split_log(log)[0])]
    random = np.random.default_rng(0)
    whole, unseen = [], []
    for _ in range(40):
        states = random.integers(2, size=(60, 400))
        best = states[states[:, asked].mean(1).argmax()]
        whole.append(best.mean())
        unseen.append(best[left].mean())
    low, _ = stats.ttest_1samp(whole, 0.5).confidence_interval(0.95)
    assert low > 0.51
    assert stats.ttest_1samp(unseen, 0.5).pvalue > 0.05


def test_what_is_left_out_is_counted_and_said(make_log):
    infos = {"own": TaskInfo(kind="gain")}
    log = make_log({"a": [1] * 300, "own": [1] * 50}, infos=infos)
    found = unseen_log(log, "because")
    lost = 300 - sum(task == "a" for task, _ in ids(found))
    assert sum(task == "own" for task, _ in ids(found)) == 50
    assert found.header.notes == (
        f"Of the general tasks {lost} of 300 items are left out of every arm, the 3 tenths that a choice may look at: "
        "because.",
    )
    alone = make_log({"own": [1] * 50}, infos=infos)
    assert unseen_log(alone, "because") is alone


def test_a_limit_on_the_suite_is_a_choice_by_it_and_validation_loss_is_none():
    def facts(**watch):
        return {"arm": {"watch": {"every": 2, "items": 50, "stop": {}, "keep": "last", **watch}}}

    assert asked_while_training(facts(stop={"forgetting": 0.1}))
    assert asked_while_training(facts(stop={"kl": 0.1}, keep="best"))
    assert not asked_while_training(facts(keep="best"))
    assert not asked_while_training(facts(items=0, stop={"own": 1.0}))
    assert not any(map(asked_while_training, ({}, {"arm": "lora"}, {"arm": {"watch": None}})))
