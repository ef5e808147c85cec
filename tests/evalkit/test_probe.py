"""The probe for training on the pocket model and suite."""

from __future__ import annotations

import copy

import pytest
import torch

from datakit.core.chat import ChatSettings
from datakit.pocket import model_path, suite_path
from evalkit import probe as module
from evalkit.errors import EvalError
from evalkit.evaluate import Session
from evalkit.kl import divergences
from evalkit.probe import SuiteProbe
from evalkit.selection import may_be_asked, unseen_log
from evalkit.suite import Suite, load_suite


@pytest.fixture(scope="module")
def loaded():
    return Session(model_path()).load()


@pytest.fixture(scope="module")
def small():
    suite = load_suite(suite_path())
    return Suite("small", tuple(task for task in suite.tasks if task.name in ("facts", "agreement", "format")))


def test_measures_a_part_of_the_suite_and_how_far_the_model_moved(loaded, small):
    model, tokenizer = loaded
    probe = SuiteProbe(small, model, tokenizer, chat=ChatSettings(), items=36)
    assert probe.items == {"facts": 12, "agreement": 12}, "generation is left out"
    found = probe(model, 0)
    assert found["forgetting"] == 0.0
    assert found["suite"] == probe.start["suite"] > 0.8
    assert found["kl"] == pytest.approx(0.0, abs=1e-5)
    other = copy.deepcopy(model)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        for value in other.parameters():
            value += 0.05 * torch.randn_like(value)
    moved = probe(other, 5)
    assert moved["forgetting"] == probe.start["suite"] - moved["suite"] > 0.1
    assert moved["general_loss"] > found["general_loss"] + 0.3
    rows = probe._rows
    before, after = ((lambda ids, own=own: own(input_ids=ids).logits) for own in (model, other))
    # every position but the last of a row
    each = divergences([row[:-1] for row in rows], before, after, vocabulary=9000, device="cpu")
    expected = sum(value * (len(row) - 1) for value, row in zip(each, rows, strict=True)) / sum(
        len(r) - 1 for r in rows
    )
    assert moved["kl"] == pytest.approx(expected, rel=2e-3)


def test_asks_only_what_a_report_can_leave_out(loaded, small, monkeypatch):
    """Whatever stops a training is reported on the other items."""
    model, tokenizer = loaded
    seen = {}

    def heard(doc, cluster):
        seen[doc] = may_be_asked(doc, cluster)
        return seen[doc]

    monkeypatch.setattr(module, "may_be_asked", heard)
    SuiteProbe(small, model, tokenizer, chat=ChatSettings(), items=12)
    assert 0.1 < sum(seen.values()) / len(seen) < 0.6
    log = Session(model_path()).evaluate(small, limit=24)
    asked = {doc for doc, chosen in seen.items() if chosen}
    rest = unseen_log(log, "of this test")
    assert asked & {*log.items.column("doc_hash").to_pylist()} == asked
    assert not asked & {*rest.items.column("doc_hash").to_pylist()}


def test_a_small_budget_of_memory_takes_fewer_texts(loaded, small, monkeypatch):
    model, tokenizer = loaded
    monkeypatch.setattr(module, "_LOGITS", 40 * int(model.get_output_embeddings().weight.shape[0]))
    probe = SuiteProbe(small, model, tokenizer, chat=ChatSettings(), items=12)
    assert sum(map(len, probe._rows)) <= 41
    assert probe(model, 0)["kl"] == pytest.approx(0.0, abs=1e-5)


def test_a_suite_with_nothing_to_ask_is_refused(loaded, small):
    model, tokenizer = loaded
    open_ended = Suite("open", tuple(task for task in small.tasks if task.name == "format"))
    with pytest.raises(EvalError, match="nothing for a probe"):
        SuiteProbe(open_ended, model, tokenizer, chat=ChatSettings())
