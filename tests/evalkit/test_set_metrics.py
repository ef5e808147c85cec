"""Metrics of a whole set against scikit-learn, seqeval, numpy and scipy's BCa; what they say of few items."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from seqeval.metrics import f1_score as seqeval_f1
from sklearn.metrics import f1_score, matthews_corrcoef

from evalkit import compare, gate
from evalkit.errors import EvalError
from evalkit.front import front_of
from evalkit.log import TaskInfo
from evalkit.set_metrics import EntityF1, entities
from evalkit.set_pairs import set_metric


def answers(gold: np.ndarray, right: float, random: np.random.Generator, labels: int = 4) -> list[str]:
    noise = random.integers(0, labels, size=len(gold))
    return np.where(random.random(len(gold)) < right, gold, noise).astype(str).tolist()


@pytest.fixture
def labelled():
    random = np.random.default_rng(0)
    gold = random.integers(0, 4, size=300)
    return gold.astype(str).tolist(), answers(gold, 0.3, random), answers(gold, 0.6, random)


def test_macro_f1_and_mcc_are_those_of_scikit_learn(labelled):
    gold, before, after = labelled
    macro, matthews = set_metric("macro_f1", *labelled), set_metric("mcc", *labelled)
    for found, value in ((macro.before, before), (macro.after, after)):
        assert found == pytest.approx(f1_score(gold, value, average="macro"))
    for found, value in ((matthews.before, before), (matthews.after, after)):
        assert found == pytest.approx(matthews_corrcoef(gold, value))
    assert macro.interval[0] > 0


def test_macro_f1_counts_foreign_answers_as_wrong():
    gold, given = ["a", "b", "b", "c"], ["a", None, "x", "a"]
    found = set_metric("macro_f1", gold, given, gold)
    plain = ["" if answer is None else answer for answer in given]
    assert found.before == pytest.approx(
        f1_score(gold, plain, labels=["a", "b", "c"], average="macro", zero_division=0)
    )
    assert found.after == 1.0


def test_pearson_is_numpys_and_an_answer_that_is_no_number_says_nothing():
    random = np.random.default_rng(1)
    gold = random.normal(3, 1, size=200)
    before, after = gold + random.normal(size=200), gold + 0.5 * random.normal(size=200)
    columns = [list(map(repr, x.tolist())) for x in (gold, before, after)]
    found = set_metric("pearson", *columns, clusters=np.arange(200) // 2)
    assert found.before == pytest.approx(np.corrcoef(gold, before)[0, 1])
    assert found.after == pytest.approx(np.corrcoef(gold, after)[0, 1])
    silent = set_metric("pearson", columns[0], ["no idea"] * 200, columns[2])
    assert silent.before == 0.0
    with pytest.raises(EvalError, match="'x' is no number"):
        set_metric("pearson", ["x", "1"], ["1", "1"], ["1", "1"])


def test_entity_f1_is_seqevals():
    """Sentences of distinct words, tagged as seqeval takes them and written out as our answers are."""
    random = np.random.default_rng(2)
    gold, given, texts = [], [], ([], [])
    for sentence in range(60):
        rows = []
        for side in range(2):
            tags = ["O"] * 12
            for at in range(0, 12, 3):
                if random.random() < 0.5:
                    kind, length = random.choice(["PER", "LOC"]), int(random.integers(1, 3))
                    tags[at : at + length] = [f"B-{kind}", *[f"I-{kind}"] * (length - 1)]
            rows.append(tags)
            found: dict[str, list[str]] = {}
            for at, tag in enumerate(tags):
                if tag.startswith("B"):
                    end = next((i for i in range(at + 1, 12) if not tags[i].startswith("I")), 12)
                    found.setdefault(tag[2:], []).append(" ".join(f"w{sentence}-{i}" for i in range(at, end)))
            texts[side].append(json.dumps(found))
        gold.append(rows[0])
        given.append(rows[1])
    found = set_metric("entity_f1", texts[0], texts[1], texts[0])
    assert found.before == pytest.approx(seqeval_f1(gold, given))
    assert found.after == 1.0


@pytest.mark.parametrize(
    "text",
    [
        '{"PER": ["Ada", "Bo  Li"], "LOC": "Rome"}',
        '[["PER", "Ada"], ["PER", "Bo Li"], ["LOC", "Rome"], "x"]',
        "PER: Ada, Bo Li; LOC: Rome",
        "PER: Ada\nPER: Bo Li\nLOC: Rome\nnothing else",
    ],
)
def test_entities_are_read_from_several_forms(text):
    assert set(entities(text)) == {("PER", "Ada"), ("PER", "Bo Li"), ("LOC", "Rome")}


@given(st.text())
@settings(max_examples=100)
def test_no_text_breaks_entities(text):
    assert all(count > 0 for count in entities(text).values())
    assert 0 <= float(EntityF1([text], []).value(EntityF1([text], []).features([text]))[0]) <= 1


def test_the_interval_is_scipys_bca(labelled):
    gold, before, after = (np.array(column) for column in labelled)

    def difference(at):
        return float(
            f1_score(gold[at], after[at], labels=list("0123"), average="macro", zero_division=0)
            - f1_score(gold[at], before[at], labels=list("0123"), average="macro", zero_division=0)
        )

    ours = set_metric("macro_f1", *labelled)
    theirs = stats.bootstrap(
        (np.arange(300),), difference, n_resamples=400, method="BCa", vectorized=False, rng=0
    ).confidence_interval
    assert ours.interval == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_the_permutation_test_agrees_with_the_interval_and_is_uniform_under_the_null():
    random = np.random.default_rng(3)
    values = []
    for _ in range(60):
        gold = random.integers(0, 3, size=80)
        columns = answers(gold, 0.5, random, 3), answers(gold, 0.5, random, 3)
        values.append(set_metric("macro_f1", gold.astype(str).tolist(), *columns, test=True).p_value)
    assert stats.kstest(values, "uniform").pvalue > 0.01
    gold = np.repeat([0, 1], 60)
    worse = set_metric(
        "mcc", gold.astype(str).tolist(), gold.astype(str).tolist(), answers(gold, 0.5, random, 2), test=True
    )
    assert worse.p_value < 0.001
    assert worse.interval[1] < 0


def test_influences_have_the_difference_as_their_mean_and_its_error():
    random = np.random.default_rng(4)
    gold = random.integers(0, 3, size=400)
    columns = gold.astype(str).tolist(), answers(gold, 0.4, random, 3), answers(gold, 0.6, random, 3)
    found = set_metric("macro_f1", *columns, test=True)
    assert found.influences.mean() == pytest.approx(found.difference)
    assert found.influences.std(ddof=1) / 20 == pytest.approx(found.standard_error, rel=0.1)


@pytest.mark.parametrize("name", ["macro_f1", "mcc", "entity_f1"])
def test_no_flip_at_all_is_not_certainty(name):
    """All right before and after: the bootstrap has no width; the rule of three must still be inside."""
    gold = ["PER: a", "PER: b", "PER: a"] * 10
    found = set_metric(name, gold, gold, gold)
    assert found.difference == 0
    assert found.interval[0] < -3 / 30
    assert "widened" in found.method


def test_one_item_and_one_cluster_say_nothing():
    assert set_metric("macro_f1", ["a"], ["a"], ["b"]).interval == (-1.0, 1.0)
    found = set_metric("mcc", ["a", "b"], ["a", "b"], ["b", "a"], clusters=[1, 1])
    assert found.interval == (-2.0, 2.0)


def test_few_flips_hold_the_truth_as_often_as_promised():
    """Thirty items, three flips on average: a bare bootstrap misses the truth often, the widened interval seldom."""
    random = np.random.default_rng(5)
    held, trials = 0, 150
    for _ in range(trials):
        gold = random.integers(0, 3, size=30)
        before, after = answers(gold, 0.93, random, 3), answers(gold, 0.93, random, 3)
        low, high = set_metric("macro_f1", gold.astype(str).tolist(), before, after).interval
        held += low <= 0 <= high
    assert held / trials >= 0.93


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(EvalError, match="no metric 'f2'"):
        set_metric("f2", ["a"], ["a"], ["a"])
    with pytest.raises(EvalError, match="2 targets, 1 answers"):
        set_metric("mcc", ["a", "b"], ["a"], ["a", "b"])


def test_a_row_goes_by_its_metric(make_log, labelled):
    """A general task whose primary metric is MCC: figures of the metric, flips of the items, Holm over its p-value."""
    gold, before, after = labelled
    info = {"cola": TaskInfo(metric="mcc")}

    def log(given, name):
        def rows(row):
            at = int(row["item_id"])
            return row | {"answer": given[at], "target": gold[at], "target_hash": gold[at]}

        return make_log(
            {"cola": [float(x == y) for x, y in zip(given, gold, strict=True)]}, infos=info, rows=rows, model=name
        )

    found = compare(log(after, "base"), log(before, "tuned"))
    row, metric = found.row("cola"), set_metric("mcc", gold, after, before, test=True)
    assert (row.before, row.after, row.difference) == (metric.before, metric.after, metric.difference)
    assert row.interval == metric.interval
    assert (row.verdict, row.beyond_margin) == ("regressed", "certain")
    assert row.paired.p_value == metric.p_value
    assert row.paired.lost == sum(a == g != b for g, a, b in zip(gold, after, before, strict=True))
    assert gate(found).status == "regressed"
    arm = front_of({"tuned": [replace(found, gains=found.general)]}).points[0]
    assert arm.loss == pytest.approx(-metric.difference)


def test_a_row_shows_what_its_task_asks_for(make_log):
    infos = {"ner": TaskInfo(kind="gain", metrics=("entity_f1", "pearson"))}
    rows = [
        lambda row: row | {"target": "PER: Ada", "answer": "PER: Ada; LOC: Rome"},
        lambda row: row | {"target": "PER: Ada", "answer": "PER: Ada"},
    ]
    logs = [
        make_log({"ner": [score] * 20}, infos=infos, rows=change) for score, change in zip((0, 1), rows, strict=True)
    ]
    metrics = compare(*logs).row("ner").metrics
    assert [metric.name for metric in metrics] == ["entity_f1"]  # the targets are no numbers
    assert (metrics[0].before, metrics[0].after) == (pytest.approx(2 / 3), 1.0)
