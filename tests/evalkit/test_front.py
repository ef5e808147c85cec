"""The Pareto front against brute force, and the share of joint draws against what is known of simple cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from evalkit import compare
from evalkit.errors import EvalError
from evalkit.front import FrontArm, front, front_of
from evalkit.log import TaskInfo


def arm(name: str, gain: float, loss: float, *, items: int = 50, spread: float = 0.3, seed: int = 0) -> FrontArm:
    """Items around the given means; arms with one ``seed`` differ by constants only."""
    noise = np.random.default_rng(seed).normal(size=(2, items)) * spread
    noise -= noise.mean(axis=1, keepdims=True)
    return FrontArm(name, [gain + noise[0]], [-loss + noise[1]])


def brute(points: list[tuple[float, float]]) -> list[bool]:
    return [
        not any(
            g >= gain and price <= loss and (g > gain or price < loss)
            for at, (g, price) in enumerate(points)
            if at != own
        )
        for own, (gain, loss) in enumerate(points)
    ]


@given(nps.arrays(np.int64, (7, 2), elements=st.integers(-3, 3)))
@settings(max_examples=60, deadline=None)
def test_the_front_is_that_of_brute_force(values):
    points = [(gain / 10, loss / 10) for gain, loss in values.tolist()]
    arms = [FrontArm(str(at), [[gain, gain]], [[-loss, -loss]]) for at, (gain, loss) in enumerate(points)]
    assert [point.on_front for point in front(arms, base=False, resamples=10).points] == brute(points)
    with_base = front(arms, resamples=10).points
    assert [point.on_front for point in with_base] == brute([*points, (0.0, 0.0)])[:-1]
    assert [point.share for point in with_base] == [float(point.on_front) for point in with_base]


def test_arms_that_differ_by_a_constant_are_certain_although_their_intervals_overlap():
    found = front([arm("a", 0.30, 0.02), arm("b", 0.29, 0.03)])
    first, second = found.points
    assert second.gain_interval[1] > first.gain_interval[0]
    assert (first.share, second.share) == (1.0, 0.0)
    assert [point.name for point in found.on()] == ["a"]


def test_arms_that_are_equal_but_for_noise_share_the_draws():
    """Gain alone decides (neither loses anything): the share is the chance that one is ahead, about one half."""
    random = np.random.default_rng(1)
    noise = random.normal(size=(2, 400))
    noise -= noise.mean(axis=1, keepdims=True)
    arms = [FrontArm(name, [0.3 + noise[at]], [np.zeros(20)]) for at, name in enumerate("ab")]
    shares = [point.share for point in front(arms, base=False).points]
    assert shares == pytest.approx([0.5, 0.5], abs=0.05)
    assert sum(shares) == pytest.approx(1.0)


def test_intervals_are_those_of_normal_theory():
    point = front([arm("a", 0.2, 0.05, items=400)], resamples=8_000).points[0]
    half = 1.96 * 0.3 / 20
    assert point.gain == pytest.approx(0.2)
    assert point.loss == pytest.approx(0.05)
    assert point.gain_interval == pytest.approx((0.2 - half, 0.2 + half), abs=0.006)
    assert point.loss_interval == pytest.approx((0.05 - half, 0.05 + half), abs=0.006)


def test_seeds_are_drawn_from_three_on():
    random = np.random.default_rng(2)

    def with_seeds(count: int) -> FrontArm:
        shift = np.linspace(-0.2, 0.2, count)[:, None]
        return FrontArm("a", [0.3 + shift + random.normal(size=(1, 60)) * 0.01], [np.zeros((count, 60))])

    two, three = front([with_seeds(2)]), front([with_seeds(3)])
    assert (two.level, three.level) == ("items", "seeds and items")
    assert np.ptp(three.points[0].gain_interval) > 10 * np.ptp(two.points[0].gain_interval)


def test_clusters_are_drawn_whole():
    d = np.repeat(np.random.default_rng(3).normal(size=20), 10)
    alone = front([FrontArm("a", [d], [[0.0]])]).points[0]
    whole = front([FrontArm("a", [d], [[0.0]])], gain_clusters=[np.arange(200) // 10]).points[0]
    assert np.ptp(whole.gain_interval) == pytest.approx(np.sqrt(10) * np.ptp(alone.gain_interval), rel=0.1)


def test_from_comparisons(make_log, make_scores):
    infos = {"own": TaskInfo(kind="gain")}
    base, good = make_scores(2, 40, 100, 58)
    _, bad = make_scores(2, 20, 100, 78)
    start = make_log({"own": base, "facts": base}, infos=infos)
    arms = {
        name: [compare(start, make_log({"own": own, "facts": general}, infos=infos))]
        for name, own, general in (("good", good, base), ("bad", bad, [0.0] * 30 + base[30:]))
    }
    found = front_of(arms)
    assert found.level == "items"
    assert found.point("good").gain == pytest.approx(np.mean(good) - np.mean(base))
    assert found.point("good").loss == 0.0
    assert [point.on_front for point in found.points] == [True, False]
    with pytest.raises(EvalError, match="no arm 'other'"):
        found.point("other")
    short = make_log({"own": base[:10], "facts": base}, infos=infos)
    with pytest.raises(EvalError, match="does not have the items"):
        front_of({**arms, "short": [compare(short, short)]})


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ([], "no arm"),
        ([arm("a", 0, 0), arm("a", 0, 0)], "'a' is given twice"),
        ([FrontArm("a", [], [[0.0]])], "no task of the user's own"),
        ([FrontArm("a", [[0.0]], [])], "no general task"),
        ([arm("a", 0, 0), arm("b", 0, 0, items=40)], "other items"),
        ([FrontArm("a", [[float("nan")]], [[0.0]])], "no number"),
    ],
)
def test_what_cannot_be_placed_is_refused(arms, said):
    with pytest.raises(EvalError, match=said):
        front(arms)
