from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data import Stream, batches, collate, cut, find_files
from train.errors import TrainError
from train.masking import Row


def row(id, length, answer=1):
    return Row(str(id), np.arange(length, dtype=np.int32), np.arange(length) >= max(1, length - answer))


ROWS = [row(number, 3 + number % 7) for number in range(23)]
GENERAL = [row(f"g{number}", 5) for number in range(4)]


def epochs(stream, count):
    steps = list(itertools.islice(stream, count * stream.steps_per_epoch))
    size = stream.steps_per_epoch
    return [[r.id for step in steps[k * size : (k + 1) * size] for r in step] for k in range(count)]


def test_every_epoch_has_every_row_once_in_an_order_of_its_own():
    stream = Stream(ROWS, rows_per_step=5, seed=1)
    first, second = epochs(stream, 2)
    assert sorted(first) == sorted(second) == sorted(r.id for r in ROWS)
    assert first != second
    assert stream.steps_per_epoch == 5


def test_the_order_depends_on_the_seed_alone():
    assert epochs(Stream(ROWS, rows_per_step=5, seed=1), 2) == epochs(Stream(ROWS, rows_per_step=5, seed=1), 2)
    assert epochs(Stream(ROWS, rows_per_step=5, seed=1), 1) != epochs(Stream(ROWS, rows_per_step=5, seed=2), 1)


def test_accumulation_does_not_change_which_rows_make_a_step():
    def steps(stream):
        return [{r.id for r in step} for step in itertools.islice(stream, 6)]

    assert steps(Stream(ROWS, rows_per_step=4 * 2, seed=3)) == steps(Stream(ROWS, rows_per_step=8 * 1, seed=3))


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(10, 200), share=st.sampled_from([0.01, 0.05, 0.2, 0.5]), general=st.integers(1, 30))
def test_replay_is_the_share_of_an_epoch_and_goes_round(rows, share, general):
    stream = Stream(
        [row(k, 4) for k in range(rows)],
        replay=[row(f"g{k}", 4) for k in range(general)],
        share=share,
        rows_per_step=8,
        seed=0,
    )
    replayed = []
    for epoch in epochs(stream, 3):
        chosen = [id for id in epoch if id.startswith("g")]
        assert len(epoch) - len(chosen) == rows
        assert abs(len(chosen) - max(1, share * len(epoch))) <= 0.5 + share
        replayed += chosen
    counts = [replayed.count(f"g{k}") for k in range(general)]
    assert max(counts) - min(counts) <= 1


def test_padding_is_neither_trained_nor_predicted():
    batch = collate([row(0, 3, answer=1), row(1, 6, answer=3)], pad=99)
    assert batch.ids.tolist() == [[0, 1, 2, 99, 99, 99], [0, 1, 2, 3, 4, 5]]
    assert batch.positions.tolist() == [1, 6 + 2, 6 + 3, 6 + 4]
    assert batch.targets.tolist() == [2, 3, 4, 5]


def cheapest(lengths, batch_size, overhead):
    """All contiguous cuts, tried one by one."""
    best = None
    for marks in itertools.product([False, True], repeat=len(lengths) - 1):
        edges = [0, *(place + 1 for place, mark in enumerate(marks) if mark), len(lengths)]
        sizes = [stop - start for start, stop in itertools.pairwise(edges)]
        if max(sizes) <= batch_size:
            price = computed(lengths, sizes, overhead)
            best = price if best is None else min(best, price)
    return best


def computed(lengths, sizes, overhead):
    ends = list(itertools.accumulate(sizes))
    return sum(size * lengths[end - 1] + overhead for size, end in zip(sizes, ends, strict=True))


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=9).map(sorted),
    batch_size=st.integers(1, 9),
    overhead=st.integers(0, 300),
)
def test_the_cut_is_the_cheapest_there_is(lengths, batch_size, overhead):
    sizes = cut(lengths, batch_size=batch_size, overhead=overhead)
    assert sum(sizes) == len(lengths)
    assert max(sizes) <= batch_size
    assert computed(lengths, sizes, overhead) == cheapest(lengths, batch_size, overhead)


def test_batches_hold_every_row_once():
    found = batches(ROWS, batch_size=4, pad=0, overhead=2)
    assert sum(len(batch.ids) for batch in found) == len(ROWS)
    assert sum(len(batch.targets) for batch in found) == sum(int(r.trained.sum()) for r in ROWS)


def test_a_folder_without_training_data_is_refused(tmp_path):
    with pytest.raises(TrainError, match="no train-"):
        find_files(tmp_path)
    with pytest.raises(TrainError, match="no such file"):
        find_files(tmp_path / "nothing")
