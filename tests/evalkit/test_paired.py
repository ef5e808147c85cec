"""paired: the figures of measures.md, its properties, and its edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from evalkit import paired
from evalkit.errors import EvalError
from evalkit.statistics import betting, tango

binary = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60)
graded = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30)


def columns(pairs):
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def test_figures_of_measures_md(make_scores):
    found = paired(*make_scores(45, 20, 300, 135))
    z = norm.ppf(0.975)
    assert (found.n, found.lost, found.gained) == (500, 45, 20)
    assert found.difference == -0.05
    wald = (found.difference - z * found.standard_error, found.difference + z * found.standard_error)
    assert [round(end, 3) for end in wald] == [-0.081, -0.019]
    assert round(found.p_value, 4) == 0.0026
    assert found.interval == tuple(float(end) for end in tango(45, 20, 500))
    assert (found.verdict, found.beyond_margin) == ("regressed", "possible")
    assert round(paired(*make_scores(95, 70, 200, 135)).p_value, 3) == 0.061


@pytest.mark.parametrize(
    ("table", "margin", "expected", "beyond"),
    [
        ((0, 30, 400, 70), 0.02, "gained", None),
        ((3, 4, 400, 93), 0.02, "held", None),
        ((12, 1, 1900, 87), 0.02, "held", None),  # a small certain loss inside the margin
        ((45, 20, 300, 135), 0.02, "regressed", "possible"),
        ((90, 20, 300, 90), 0.02, "regressed", "certain"),
        ((25, 20, 300, 155), 0.02, "unsure", None),
    ],
)
def test_verdicts(make_scores, table, margin, expected, beyond):
    found = paired(*make_scores(*table), margin=margin)
    assert (found.verdict, found.beyond_margin) == (expected, beyond)


@given(binary)
@settings(max_examples=80, deadline=None)
def test_swapping_negates(pairs):
    before, after = columns(pairs)
    one, other = paired(before, after), paired(after, before)
    assert one.difference == -other.difference
    assert one.interval == (-other.interval[1], -other.interval[0])
    assert (one.lost, one.gained, one.p_value) == (other.gained, other.lost, other.p_value)
    assert one.interval[0] <= one.difference <= one.interval[1]


@given(graded, st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_swapping_negates_clustered_and_graded(pairs, size):
    before, after = columns(pairs)
    clusters = [at // size for at in range(len(pairs))]
    one, other = (paired(*scores, clusters=clusters) for scores in ((before, after), (after, before)))
    assert one.difference == pytest.approx(-other.difference, abs=1e-12)
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]), abs=1e-9)
    assert one.p_value == other.p_value


@given(graded, st.integers(1, 8), st.randoms())
@settings(max_examples=50, deadline=None)
def test_order_of_items_changes_nothing(pairs, size, random):
    rows = [(*pair, at // size) for at, pair in enumerate(pairs)]
    found = paired(*columns(pairs), clusters=[row[2] for row in rows])
    random.shuffle(rows)
    again = paired([row[0] for row in rows], [row[1] for row in rows], clusters=[row[2] for row in rows])
    assert again.interval == pytest.approx(found.interval, abs=1e-9)
    assert (again.difference, again.before, again.p_value) == pytest.approx(
        (found.difference, found.before, found.p_value), abs=1e-12
    )


@given(binary, st.integers(1, 50))
@settings(max_examples=50, deadline=None)
def test_items_that_agree_draw_the_difference_towards_zero(pairs, more):
    before, after = columns(pairs)
    found, diluted = paired(before, after), paired([*before, *[1] * more], [*after, *[1] * more])
    assert abs(diluted.difference) <= abs(found.difference)
    assert diluted.interval[1] - diluted.interval[0] <= found.interval[1] - found.interval[0] + 1e-9


@given(graded.filter(lambda pairs: len(pairs) > 1))
@settings(max_examples=30, deadline=None)
def test_clusters_of_one_are_no_clusters(pairs):
    before, after = columns(pairs)
    alone, named = paired(before, after), paired(before, after, clusters=list(range(len(pairs))))
    assert named == alone


def test_whole_clusters_that_move_together_widen_the_interval(make_scores):
    before, after = make_scores(50, 30, 300, 120)
    clusters = np.arange(500) // 10
    together, apart = paired(before, after, clusters=clusters), paired(before, after)
    assert together.interval[0] < apart.interval[0]
    assert together.interval[1] > apart.interval[1]
    assert together.p_value > apart.p_value
    assert together.clusters == 50


def test_few_clusters_that_moved_are_not_trusted(make_scores):
    """Three of eight passages moved: at least as wide as Tango's interval of eight items."""
    before, after = make_scores(30, 0, 40, 10)
    clusters = np.arange(80) // 10
    found = paired(before, after, clusters=clusters)
    low, high = tango(30 * 8 / 80, 0, 8)
    assert found.interval[0] <= float(low)
    assert found.interval[1] >= float(high)
    assert "widened" in found.method


def test_few_graded_clusters_contain_the_betting_interval():
    before, after = np.full(40, 0.5), np.full(40, 0.5)
    after[:5] = 0.4
    found = paired(before, after)
    low, high = betting(after - before)
    assert found.interval[0] <= low
    assert found.interval[1] >= high
    assert found.interval[0] < -0.1


def test_one_cluster_says_nothing():
    found = paired([1, 1, 0], [0, 0, 0], clusters=["a", "a", "a"])
    assert found.interval == (-1.0, 1.0)
    assert found.verdict == "unsure"


def test_a_single_item():
    found = paired([1], [0])
    assert found.interval[0] == pytest.approx(-1)
    assert found.p_value == 1.0
    assert found.verdict == "unsure"


def test_few_discordant_items_use_wilsons_bound(make_scores):
    found = paired(*make_scores(0, 0, 90, 10))
    assert found.discordance > 0
    assert found.minimum_detectable_effect > 0
    assert found.items_needed is not None


def test_forgetting_is_adjusted_for_guessing():
    """Two models that know the same 40 % and guess the rest, four choices each: nothing is forgotten."""
    random = np.random.default_rng(0)
    known = random.random(20_000) < 0.4
    before, after = ((known | (random.random(20_000) < 0.25)).astype(float) for _ in range(2))
    found = paired(before, after, chance=0.25)
    assert found.forgetting is not None
    assert found.lost / found.n > 0.1
    assert found.forgetting.unclipped == pytest.approx(0, abs=0.01)
    assert found.forgetting.interval[0] >= 0
    assert found.retention == pytest.approx(1, abs=0.05)


def test_forgetting_finds_what_was_forgotten():
    random = np.random.default_rng(1)
    known = random.random(20_000) < 0.6
    kept = known & (random.random(20_000) > 0.2)
    before, after = ((x | (random.random(20_000) < 0.25)).astype(float) for x in (known, kept))
    found = paired(before, after, chance=0.25)
    assert found.forgetting is not None
    low, high = found.forgetting.interval
    assert low <= 0.6 * 0.2 * 0.75 <= high  # a forgotten item is still guessed right one time in four


def test_open_answers_have_no_chance_and_graded_scores_no_forgetting(make_scores):
    found = paired(*make_scores(10, 5, 80, 5))
    assert found.forgetting is not None
    assert found.forgetting.value == pytest.approx(0.1)
    assert paired([0.5, 1.0], [0.4, 1.0]).forgetting is None
    assert paired([0, 0], [1, 0]).retention is None


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([1, 0], [1], "2 scores before and 1 after"),
        ([], [], "at least one number"),
        ([1, float("nan")], [1, 0], "score before of item 1 is nan"),
        ([1, 0], [1, 2], "score after of item 1 is 2"),
    ],
)
def test_bad_scores_are_refused(before, after, said):
    with pytest.raises(EvalError, match=said):
        paired(before, after)


def test_bad_clusters_and_margins_are_refused():
    with pytest.raises(EvalError, match="1 clusters for 2 items"):
        paired([1, 0], [1, 0], clusters=["a"])
    with pytest.raises(EvalError, match="margin"):
        paired([1, 0], [1, 0], margin=-0.1)
