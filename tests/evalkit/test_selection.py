"""Three tenths to choose on, seven to report on: the same for every model, clusters whole, nothing lost."""

from __future__ import annotations

import pyarrow as pa
from scipy import stats

from evalkit import compare
from evalkit.log import TaskInfo
from evalkit.selection import is_selection, split_log


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
