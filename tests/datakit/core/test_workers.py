from __future__ import annotations

import os
import signal

import pytest

from datakit.core import workers as core
from datakit.core.errors import SourceError, StepError
from datakit.core.workers import Workers


def lengths(texts):
    return [(len(text), os.getpid()) for text in texts]


def refuse(part):
    if part == 2:
        raise SourceError("it is 'two'", where="row 2", hint="Mend it")
    return part


def die(part):
    if part == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return part


@pytest.fixture(scope="module")
def two():
    with Workers(2) as workers:
        yield workers


def test_values_come_in_order_whoever_makes_them(two, monkeypatch):
    monkeypatch.setattr(core, "LEAST", 50)
    texts = ["x" * (n % 97) for n in range(400)]
    found = two.map_texts(lengths, texts)
    assert [size for size, _ in found] == [len(text) for text in texts]
    assert os.getpid() not in {process for _, process in found}
    assert {process for _, process in Workers(1).map_texts(lengths, texts)} == {os.getpid()}


def test_what_is_too_little_stays_here(two):
    assert two.map_texts(lengths, ["a", "b"]) == [(1, os.getpid())] * 2
    assert two.map_texts(lengths, []) == []
    assert two.map(refuse, []) == []


def test_an_error_arrives_as_it_was_raised(two):
    with pytest.raises(SourceError) as caught:
        two.map(refuse, range(4))
    assert str(caught.value) == "row 2: it is 'two'. Mend it"


def test_a_process_that_dies_is_told_and_the_next_work_is_done():
    with Workers(2) as workers:
        with pytest.raises(StepError, match=r"a worker process died, out of memory perhaps\. Use fewer than 2"):
            workers.map(die, range(4))
        assert workers.map(refuse, [0, 1]) == [0, 1]
