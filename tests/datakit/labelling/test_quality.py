"""Aggregation, agreement and calibration against reference libraries and by hand."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pyarrow as pa
import pytest
from conftest import rows as examples
from hypothesis import given
from hypothesis import strategies as st

from datakit.labelling.aggregate import aggregate
from datakit.labelling.agreement import accuracy, alpha_figure, bootstrap, cohen_kappa, krippendorff_alpha, set_f1
from datakit.labelling.calibrate import calibrated, coverage, ece, reliability, suggested_threshold
from datakit.labelling.dawid_skene import dawid_skene
from datakit.labelling.job import finish
from datakit.labelling.labeller import Labeller
from datakit.labelling.suspicious import suspicious
from datakit.labelling.votes import VOTES_SCHEMA

SPAM = Labeller(name="spam", kind="classify", instruction="?", options=["ham", "spam", "scam"])


def votes(rows, labeller="spam"):
    """(example, model, status, value[, probabilities]) as a votes table."""
    found = []
    for example, model, status, value, *rest in rows:
        row = dict.fromkeys(VOTES_SCHEMA.names) | {"example_id": example, "labeller": labeller, "model": model}
        found.append(row | {"status": status, "value": value, "probabilities": rest[0] if rest else None})
    return pa.Table.from_pylist(found, schema=VOTES_SCHEMA)


def test_majority_by_hand():
    table = votes(
        [
            ("1", "m", "ok", "spam"), ("1", "m", "ok", "spam"), ("1", "n", "ok", "ham"), ("1", "n", "refused", None),
            ("2", "m", "outside", None), ("2", "m", "outside", None), ("2", "n", "refused", None),
            ("3", "m", "ok", "scam"), ("3", "n", "ok", "ham"),
            ("4", "m", "ok", "spam", '{"ham": 0.3, "spam": 0.6, "scam": 0.1}'),
        ]
    )  # fmt: skip
    rows = aggregate(table, SPAM, ["1", "2", "3", "4", "5"]).to_pylist()
    assert [row["label"] for row in rows] == ["spam", None, "ham", "spam", None]  # a tie: the option named first
    assert [row["status"] for row in rows] == ["ok", "outside", "ok", "ok", "empty"]
    assert [row["confidence"] for row in rows] == [0.5, None, 0.5, 0.6, None]
    assert [(row["votes"], row["asked"]) for row in rows] == [(3, 4), (0, 3), (2, 2), (1, 1), (0, 0)]
    assert rows[0]["agreement"] == 0.5


def test_parts_are_decided_one_by_one():
    topics = Labeller(name="t", kind="multilabel", instruction="?", options=["a", "b", "c"])
    table = votes([("1", "m", "ok", '["a", "b"]'), ("1", "n", "ok", '["a"]'), ("1", "o", "ok", '["a", "c"]')])
    (row,) = aggregate(table, topics, ["1"]).to_pylist()
    assert (row["label"], row["agreement"]) == ('["a"]', pytest.approx(1 / 3))
    assert row["confidence"] == pytest.approx(2 / 3)


def simulated(seed, examples=150, voters=5, classes=3):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, examples)
    skill = np.linspace(0.45, 0.95, voters)
    said = np.where(
        generator.random((voters, examples)) < skill[:, None], truth, generator.integers(0, classes, (voters, examples))
    )
    heard = generator.random((voters, examples)) < 0.8
    heard[0] = True
    return truth, said, heard


@pytest.mark.parametrize("seed", range(3))
def test_dawid_skene_as_crowd_kit(seed):
    truth, said, heard = simulated(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reference calls pandas in ways that pandas will drop
        import pandas as pd
        from crowdkit.aggregation import DawidSkene

        frame = pd.DataFrame(
            [(i, f"w{v}", int(said[v, i])) for v, i in zip(*np.nonzero(heard), strict=True)],
            columns=["task", "worker", "label"],
        )
        reference = DawidSkene(n_iter=25, tol=-1).fit(frame)
    expected = reference.probas_.sort_index()[[0, 1, 2]].to_numpy()
    counts = np.zeros((5, 150, 3), np.int64)
    for v, i in zip(*np.nonzero(heard), strict=True):
        counts[v, i, said[v, i]] += 1
    found = dawid_skene(counts, iterations=25, tolerance=-1)
    assert np.abs(found.posterior - expected).max() < 1e-6
    assert (found.posterior.argmax(1) == expected.argmax(1)).all()
    share = counts.sum(0).argmax(1)
    assert (found.posterior.argmax(1) == truth).mean() >= (share == truth).mean()


def test_dawid_skene_of_hardly_any_votes():
    nothing = dawid_skene(np.zeros((1, 2, 3), np.int64))
    assert np.allclose(nothing.posterior.sum(1), 1)
    one = np.zeros((1, 1, 2), np.int64)
    one[0, 0, 1] = 1
    assert dawid_skene(one).posterior[0, 1] == pytest.approx(1)


labels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@given(labels)
def test_kappa_as_scikit_learn(pairs):
    from sklearn.metrics import cohen_kappa_score

    gold, said = (np.array(side) for side in zip(*pairs, strict=True))
    found = cohen_kappa(gold, said, 4)
    if found is None:
        assert len({*gold, *said}) == 1
    else:
        assert found == pytest.approx(cohen_kappa_score(gold, said), abs=1e-12)


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=2, max_size=30),
    st.sampled_from(["nominal", "ordinal", "interval"]),
)
def test_alpha_as_the_reference(rows, level):
    import krippendorff

    said = np.array(rows).T
    counts = np.stack([(said == value).sum(0) for value in range(4)], axis=1)
    if len(set(said.ravel())) == 1:
        assert krippendorff_alpha(counts, level=level) is None
        return
    expected = krippendorff.alpha(value_counts=counts, level_of_measurement=level)
    assert krippendorff_alpha(counts, level=level) == pytest.approx(expected, abs=1e-9)
    assert alpha_figure(counts, level=level, draws=2).value == pytest.approx(expected, abs=1e-9)


def test_alpha_of_the_worked_example():
    """Krippendorff 2011, section C: four observers, twelve units, nominal .743, ordinal .815, interval .849."""
    rows = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    counts = np.array([[sum(row[unit] == value for row in rows) for value in range(1, 6)] for unit in range(12)])
    found = [round(krippendorff_alpha(counts, level=level), 3) for level in ("nominal", "ordinal", "interval")]
    assert found == [0.743, 0.815, 0.849]


def test_the_interval_covers():
    """Accuracy .8 of 100 rows: about 95 of 100 intervals hold it."""
    generator = np.random.default_rng(5)
    hits = 0
    for seed in range(100):
        gold = np.zeros(100, int)
        said = (generator.random(100) > 0.8).astype(int)
        figure = bootstrap(100, lambda at, g=gold, s=said: accuracy(g[at], s[at]), draws=400, seed=seed)
        hits += figure.low <= 0.8 <= figure.high
    assert 86 <= hits <= 100


def test_f1_of_sets():
    assert set_f1([frozenset("ab"), frozenset()], [frozenset("a"), frozenset("c")]) == pytest.approx(2 / 4)
    assert set_f1([frozenset()], [frozenset()]) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80))
def test_calibration_error_by_brute_force(rows):
    confidence = np.array([row[0] for row in rows])
    right = np.array([row[1] for row in rows])
    total = 0.0
    for number in range(10):
        inside = [row for row in rows if number / 10 < row[0] <= (number + 1) / 10 or (number == 0 and row[0] == 0)]
        if inside:
            gap = abs(sum(row[0] for row in inside) - sum(row[1] for row in inside))
            total += gap / len(rows)
    assert ece(confidence, right) == pytest.approx(total, abs=0.02 if any(_edge(row[0]) for row in rows) else 1e-9)
    assert sum(one.n for one in reliability(confidence, right)) == len(rows)


def _edge(value):
    return abs(value * 10 - round(value * 10)) < 1e-9


@pytest.mark.parametrize(("rows", "method"), [(2000, "isotonic"), (100, "platt")])
def test_calibration_brings_confidence_to_accuracy(rows, method):
    generator = np.random.default_rng(3)
    confidence = generator.uniform(0.5, 1, rows)
    right = generator.random(rows) < confidence**3  # far too sure of itself
    everywhere, honest, used = calibrated(confidence, right, confidence)
    assert used == method
    assert ece(honest, right) < ece(confidence, right) / 2
    assert (np.diff(everywhere[np.argsort(confidence)]) >= -1e-12).all()


def test_nothing_is_calibrated_on_next_to_nothing():
    assert calibrated(np.full(20, 0.9), np.arange(20) % 2 == 0, np.full(5, 0.9)) is None
    assert calibrated(np.full(500, 0.9), np.ones(500, bool), np.full(5, 0.9)) is None


def test_coverage_by_hand():
    confidence = np.array([0.9, 0.9, 0.8, 0.5])
    right = np.array([True, True, False, True])
    points = coverage(confidence, right)
    assert [(p.threshold, p.coverage, p.accuracy) for p in points] == [
        (0.9, 0.5, 1.0), (0.8, 0.75, pytest.approx(2 / 3)), (0.5, 1.0, 0.75),
    ]  # fmt: skip
    assert suggested_threshold(points, accuracy=0.95) is None
    many = coverage(np.repeat([0.9, 0.6], 500), np.arange(1000) < 700)
    assert suggested_threshold(many, accuracy=0.95).threshold == 0.9


def test_wrong_labels_are_found():
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 3, 300)
    given_labels = truth.copy()
    wrong = generator.choice(300, 20, replace=False)
    given_labels[wrong] = (given_labels[wrong] + 1) % 3
    names = SPAM.names
    rows = [
        (str(i), "m", "ok", names[truth[i]], f'{{"{names[truth[i]]}": 0.9, "{names[(truth[i] + 1) % 3]}": 0.1}}')
        for i in range(300)
    ]
    results = aggregate(votes(rows), SPAM, [str(i) for i in range(300)])
    found = suspicious(results, [names[k] for k in given_labels], names)
    assert {int(one.example_id) for one in found} == set(wrong.tolist())
    assert all(one.suggested == names[truth[int(one.example_id)]] for one in found)


def test_calibration_is_left_where_it_makes_nothing_better():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.05, 0.95, 400)
    right = rng.uniform(size=400) < confidence  # it is calibrated already
    for n in (40, 400):
        made = calibrated(confidence[:n], right[:n], confidence)
        assert made is None or np.mean((made[1] - right[:n]) ** 2) < np.mean((confidence[:n] - right[:n]) ** 2)
    assert calibrated(confidence[:40], right[:40], confidence, method="platt") is not None
    wrong = np.sqrt(confidence)  # and this is far too sure
    assert calibrated(wrong, right, wrong)[2] == "isotonic"


def test_votes_about_one_row_are_not_several_rows(ask, stub):
    """Ten equal votes a row know no more than one."""
    stub.answer = lambda text, body: json.dumps({"label": "spam" if int(text[4:]) % 5 == 0 else "ham"})
    gold = {f"{n:032x}": "ham" for n in range(40)}
    widths = []
    for asked in (1, 10):
        plan, _ = ask(examples(40), votes=asked)
        figure = finish(plan, gold=gold).facts["models"][0]["accuracy"]
        assert figure["value"] == pytest.approx(0.8)
        widths.append(figure["high"] - figure["low"])
    assert widths[1] == pytest.approx(widths[0])
