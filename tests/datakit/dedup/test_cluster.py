from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.core.errors import StepError
from datakit.dedup import cluster, deduplicate, signatures


def check_against_truth(result, texts, truth, threshold):
    """Precision 1, and greedy's rule in both directions; returns (true pairs, true pairs with both rows kept)."""
    pairs = truth.true_pairs(texts, threshold)
    for row in np.flatnonzero(~result.keep).tolist():
        partner = int(result.partner[row])
        assert result.keep[partner]
        assert result.similarity[row] == pairs[min(row, partner), max(row, partner)]
    found = list(zip(*(result.pairs.column(name).to_pylist() for name in ("first", "second")), strict=True))
    values = result.pairs.column("similarity").to_pylist()
    for (first, second), value in zip(found, values, strict=True):
        assert value == pairs[min(first, second), max(first, second)]
    return len(pairs), sum(bool(result.keep[i] and result.keep[j]) for i, j in pairs)


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9])
def test_precision_and_recall_against_string_sets(edited_texts, truth, threshold):
    texts = edited_texts(3000, 5)
    result = deduplicate(texts, threshold=threshold)
    true, missed = check_against_truth(result, texts, truth, threshold)
    assert true > 500
    assert missed <= 0.02 * true


def test_clusters_are_the_connected_components_of_true_pairs(edited_texts, truth):
    texts = edited_texts(1500, 8)
    pairs = truth.true_pairs(texts, 0.7)
    expected = truth.components(len(texts), list(pairs))
    result = deduplicate(texts, threshold=0.7, num_perm=512)  # long signatures: nothing is missed
    assert result.cluster.tolist() == expected


def test_a_chain_keeps_what_resembles_nothing_that_stays(truth):
    base = [f"w{i}" for i in range(40)]
    a, b, c = base, [*base[:39], "x"], [*base[:34], "v", "w", "y", "z", "u", "x"]
    texts = [" ".join(a), " ".join(b), " ".join(c)]
    pairs = truth.true_pairs(texts, 0.75)
    assert (0, 1) in pairs
    assert (0, 2) not in pairs
    result = deduplicate(texts, threshold=0.75)
    assert result.keep.tolist() == [True, False, True]


def test_a_hundred_thousand_identical_rows_leave_one():
    started = time.process_time()
    result = deduplicate(["The very same line, again and again, and once more."] * 100_000)
    assert result.keep.sum() == 1
    assert (result.partner[1:] == 0).all()
    assert result.exact[1:].all()
    assert time.process_time() - started < 10


def test_form_letters_are_not_compared_all_with_all():
    letter = "Dear customer, your parcel with the number {} has left our house today and will be with you " * 3
    started = time.process_time()
    result = deduplicate([letter.format(i, i, i) for i in range(20_000)], threshold=0.5)
    assert result.keep.sum() == 1
    assert (result.similarity[1:] >= 0.5).all()
    assert (result.cluster == 0).all()
    assert time.process_time() - started < 20


def test_a_line_of_ten_megabytes():
    line = " ".join(map(str, range(1_400_000)))
    assert len(line) > 10_000_000
    result = deduplicate([line, line + " 1", "short"])
    assert result.keep.tolist() == [True, False, True]
    assert not result.exact[1]


SHORT = st.lists(st.one_of(st.none(), st.text(alphabet="ab !?.é가", max_size=6)), max_size=25)


@settings(max_examples=60, deadline=None)
@given(SHORT)
def test_short_texts_merge_only_when_equal_after_normalisation(texts):
    import unicodedata

    result = deduplicate(texts)
    seen = set()
    for text, kept in zip(texts, result.keep, strict=True):
        normal = None if text is None else " ".join(unicodedata.normalize("NFC", text).casefold().split())
        if text is None:
            assert kept
        elif len([c for c in text if c in "abé가"]) < 5:
            assert kept == (normal not in seen)
        seen.add(normal)


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 50))
def test_keep_best_does_not_depend_on_the_order_of_rows(edited_texts, rng, seed):
    texts = edited_texts(60, seed)
    ids = [f"{i:03}" for i in range(60)]
    scores = [float(i * 7 % 5) for i in range(60)]
    labels = [("x", "y", None)[i % 3] if i % 10 == 0 else "x" for i in range(60)]

    def kept(order):
        result = deduplicate(
            [texts[i] for i in order],
            keep="best",
            by=[scores[i] for i in order],
            ids=[ids[i] for i in order],
            labels=[labels[i] for i in order],
        )
        clusters = {ids[i]: ids[order[int(result.cluster[n])]] for n, i in enumerate(order)}
        return {ids[i] for n, i in enumerate(order) if result.keep[n]}, clusters

    shuffled = list(range(60))
    rng.shuffle(shuffled)
    assert kept(shuffled) == kept(list(range(60)))


@pytest.mark.parametrize("keep", ["first", "longest"])
def test_a_second_pass_drops_nothing(edited_texts, keep):
    texts = edited_texts(1500, 3)
    once = deduplicate(texts, keep=keep)
    left = [text for text, kept in zip(texts, once.keep, strict=True) if kept]
    assert deduplicate(left, keep=keep).keep.all()


def test_another_threshold_is_another_run(edited_texts):
    texts = edited_texts(800, 4)
    for threshold in (0.6, 0.95):
        again = deduplicate(texts, threshold=0.8).rethreshold(threshold)
        fresh = deduplicate(texts, threshold=threshold)
        assert again.keep.tolist() == fresh.keep.tolist()
        assert again.pairs.equals(fresh.pairs)
        assert again.threshold == threshold


def test_longest_and_best_choose_their_row():
    texts = ["a b c d e f g h i j k l", "a b c d e f g h i j k l m", "A b c d e f g h i j k l!"]
    assert deduplicate(texts, keep="longest").keep.tolist() == [False, True, False]
    assert deduplicate(texts, keep="best", by=[1, None, 2.5]).keep.tolist() == [False, False, True]
    assert deduplicate(texts, keep="best", by=[1, 1, 1], ids=["c", "b", "a"]).keep.tolist() == [False, False, True]


def test_ten_identical_texts_are_equal_exactly_and_others_nearly():
    texts = ["One two three four five six.", "one  TWO three four five six.", "one two three four five six!"]
    result = deduplicate(texts)
    assert result.keep.tolist() == [True, False, False]
    assert result.exact.tolist() == [False, True, False]
    assert deduplicate(texts, threshold=1.0).keep.tolist() == [True, False, True]


def test_conflicting_labels():
    texts = ["buy now", "Buy now", "buy  now", "hello", "hello"]
    labels = ["spam", "ham", "ham", "ham", None]
    kept = {
        mode: deduplicate(texts, labels=labels, on_conflict=mode).keep.tolist()
        for mode in ("drop", "keep_first", "keep")
    }
    assert kept["drop"] == [False, False, False, True, False]
    assert kept["keep_first"] == [True, False, False, True, False]
    assert kept["keep"] == [True, True, False, True, False]


def test_only_the_rows_of_the_conflict_are_set_aside():
    base = [f"w{i}" for i in range(60)]
    near, far = [*base[:59], "x"], ["y", *base[1:]]
    texts = [" ".join(words) for words in (base, near, far)]
    result = deduplicate(texts, labels=["a", "b", "a"], threshold=0.97)
    assert result.keep.all()
    result = deduplicate(texts, labels=["a", "b", "a"], threshold=0.95)
    assert result.conflict.tolist() == [True, True, False]
    assert result.keep.tolist() == [False, False, True]


@pytest.mark.parametrize(
    "settings", [{"threshold": 0.0}, {"threshold": 1.1}, {"ngram": 0}, {"num_perm": 0}, {"seed": -1}, {"keep": "best"}]
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(StepError):
        deduplicate(["a"], **settings)


def test_two_phases_are_the_whole(edited_texts):
    texts = edited_texts(400, 9)
    assert cluster(signatures(texts)).keep.tolist() == deduplicate(texts).keep.tolist()
