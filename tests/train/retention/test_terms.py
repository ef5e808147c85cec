"""Each term against its definition, and its effect, which is gone where the term is made zero."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from datakit.core.chat import ChatSettings, tokenize
from train import Arm
from train.adapters import adapter_named
from train.data import Stream, collate
from train.loop import Training, run_steps
from train.losses import logits_at, nll
from train.masking import Row, completion_row, text_rows
from train.objectives.sft import Sft
from train.retention import kl, l2
from train.retention.kl import KlOnGeneral, KlOnTrained, forward_kl
from train.retention.l2 import L2ToStart
from train.retention.reference import AdapterOff, Frozen, has_switch
from train.retention.terms import retention_terms
from train.retention.token_mask import surprise, without_surprises


@pytest.fixture
def rows(tokenizer, pairs):
    def one(number, prompt, answer):
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        return completion_row(f"row{number}", messages, tokenizer, ChatSettings(), end="</s>", max_length=128)

    return [one(number, *pair) for number, pair in enumerate(pairs)]


@pytest.fixture
def general(tokenizer):
    texts = ["boats rise with the tide", "the sea is never still", "low water again", "all of them at once"]
    return [row for at, text in enumerate(texts) for row in text_rows(str(at), text, tokenizer, max_length=64)]


def train(model, rows, arm, *, general=(), steps=8):
    """A training of a few steps with the arm's terms."""
    start = copy.deepcopy(model)
    stream = Stream(rows, rows_per_step=arm.batch_size * arm.accumulate, seed=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tuned = adapter_named(arm.adapter).apply(model, arm)
        against = retention_terms(arm, tuned, load=lambda: start, general=general, seed=0)
        run_steps(Training(tuned, Sft(), stream, [], arm, steps=steps, pad=0, against=against))
    return tuned


def divergence(start, tuned, rows):
    """Forward KL per trained token, written out."""
    batch = collate(rows, pad=0)
    with torch.no_grad():
        p, q = (logits_at(model.eval(), batch).double().log_softmax(-1) for model in (start, tuned))
    return float((p.exp() * (p - q)).sum(-1).mean())


FULL = {"adapter": "full", "learning_rate": 1e-2, "batch_size": 8, "warmup": 0.0}
LORA = {"adapter": "lora", "rank": 4, "learning_rate": 1e-2, "batch_size": 8, "warmup": 0.0}


def test_forward_kl_equals_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    start, now = (3 * torch.randn(6, 11, generator=generator) for _ in range(2))
    first, second = (torch.distributions.Categorical(logits=logits) for logits in (start, now))
    each = torch.distributions.kl_divergence(first, second)
    assert forward_kl(start, now).item() == pytest.approx(each.sum().item(), rel=1e-5)
    weights = torch.rand(6, generator=generator)
    assert forward_kl(start, now, weights).item() == pytest.approx((each * weights).sum().item(), rel=1e-5)
    assert forward_kl(start, start).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("settings", [FULL, LORA], ids=["full", "lora"])
def test_the_reference_is_the_start_model_all_along(settings, model, rows):
    start = copy.deepcopy(model).eval()
    tuned = train(model, rows, Arm(**settings, kl={"weight": 0.5}))
    batch = collate(rows, pad=0)
    reference = AdapterOff() if has_switch(tuned) else Frozen(copy.deepcopy(start))
    assert has_switch(tuned) == (settings is LORA)
    tuned.train()
    found = reference(tuned, batch)
    assert tuned.training
    with torch.no_grad():
        torch.testing.assert_close(found, logits_at(start, batch))
        assert not torch.allclose(logits_at(tuned, batch), found)


@pytest.mark.parametrize("place", ["trained", "general"])
@pytest.mark.parametrize("settings", [FULL, LORA], ids=["full", "lora"])
def test_kl_keeps_the_model_near_the_start_and_not_without_it(settings, place, model, rows, general, monkeypatch):
    start = copy.deepcopy(model).eval()
    source = {} if place == "trained" else {"from": "general"}
    arm = Arm(**settings, kl={"weight": 3.0, **source})
    held = general if place == "general" else rows
    own = copy.deepcopy(model)
    near = divergence(start, train(own, rows, arm, general=general), held)
    own = copy.deepcopy(model)
    plain = divergence(start, train(own, rows, Arm(**settings)), held)
    assert near < 0.6 * plain
    monkeypatch.setattr(kl, "forward_kl", lambda start, now, weights=None: 0.0 * now.sum())
    removed = divergence(start, train(model, rows, arm, general=general), held)
    assert removed == pytest.approx(plain, rel=0.05)


def test_kl_on_trained_tokens_is_exact_under_accumulation(model, rows):
    arms = [Arm(**FULL | {"batch_size": size, "accumulate": 8 // size}, kl={}) for size in (8, 2)]
    one, two = (train(copy.deepcopy(model), rows, arm, steps=4) for arm in arms)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_kl_on_general_rows_weighs_as_a_mean_beside_the_loss(model, make_model, general):
    other = make_model()
    with torch.no_grad():
        for value in other.parameters():
            value += 0.02
    term = KlOnGeneral(2.0, Frozen(other), general, size=3, seed=0)
    rows = term.rows(5)
    found = sum(term(model.eval(), collate([row], pad=0)).item() for row in rows) / sum(row.weight for row in rows)
    assert found == pytest.approx(2.0 * divergence(other, model, rows), rel=1e-4)


def test_general_rows_follow_from_seed_and_step_alone(model, general):
    def drawn(seed, step):
        return [row.id for row in KlOnGeneral(1.0, Frozen(model), general, size=6, seed=seed).rows(step)]

    assert drawn(0, 3) == drawn(0, 3)
    assert len({tuple(drawn(seed, step)) for seed in (0, 1) for step in range(1, 9)}) > 14
    assert {id for step in range(20) for id in drawn(0, step)} == {row.id for row in general}


def test_kl_on_general_rows_is_exact_under_accumulation(model, rows, general):
    arms = [Arm(**FULL | {"batch_size": size, "accumulate": 8 // size}, kl={"from": "g"}) for size in (8, 2)]
    one, two = (train(copy.deepcopy(model), rows, arm, general=general, steps=4) for arm in arms)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_kl_without_the_objectives_logits_is_the_same(model, make_model, rows):
    from dataclasses import replace

    batch = collate(rows, pad=0)
    other = make_model()
    with torch.no_grad():
        other.lm_head.weight.mul_(1.1)
    loss = nll(model, batch)
    term = KlOnTrained(1.0, Frozen(other))
    assert term(model, batch, loss).item() == pytest.approx(term(model, batch, replace(loss, logits=None)).item())


@pytest.mark.parametrize("settings", [FULL, LORA], ids=["full", "lora"])
def test_l2_is_the_distance_of_the_models_own_weights(settings, model):
    start = copy.deepcopy(model)
    tuned = adapter_named(settings["adapter"]).apply(model, Arm(**settings))
    term = L2ToStart(0.5, tuned)
    assert term().item() == 0.0
    with torch.no_grad():
        for value in tuned.parameters():
            if value.requires_grad:
                value += 0.1 * torch.randn(value.shape)
    found = term().item()
    merged = tuned.merge_and_unload() if settings is LORA else tuned
    pairs = zip(start.parameters(), merged.parameters(), strict=True)
    expected = sum((a - b).detach().double().square().sum().item() for a, b in pairs)
    assert found == pytest.approx(0.5 * 0.5 * expected, rel=1e-4)


@pytest.mark.parametrize("settings", [FULL, LORA], ids=["full", "lora"])
def test_l2_keeps_weights_near_the_start_and_not_without_it(settings, model, rows, monkeypatch):
    start = {name: value.clone() for name, value in model.state_dict().items()}

    def moved(arm):
        tuned = train(copy.deepcopy(model), rows, arm)
        merged = tuned.merge_and_unload() if arm.adapter == "lora" else tuned
        return sum((value - start[name]).square().sum().item() for name, value in merged.state_dict().items())

    arm = Arm(**settings, l2={"weight": 3.0})
    plain = moved(Arm(**settings))
    assert moved(arm) < 0.6 * plain
    monkeypatch.setattr(l2, "squared_change", lambda start, factors: None)
    assert moved(arm) == pytest.approx(plain, rel=1e-3)


def test_surprise_is_the_models_own_loss_of_every_token(model, rows):
    found = surprise(model.eval(), rows, batch_size=3, pad=0)
    for row, values in zip(rows, found, strict=True):
        logits = model(torch.from_numpy(row.ids).long()[None]).logits[0].log_softmax(-1)
        places = np.flatnonzero(row.trained)
        expected = [-logits[at - 1, row.ids[at]].item() for at in places]
        assert values.tolist() == pytest.approx(expected, rel=1e-4)


def test_the_least_likely_tokens_are_left_out_and_the_end_stays(model, rows, tokenizer):
    model.eval()
    end = tokenizer.eos_token_id
    before = np.concatenate(surprise(model, rows, batch_size=8, pad=0))
    ids = np.concatenate([row.ids[row.trained] for row in rows])
    masked = without_surprises(model, rows, 0.5, keep=[end], batch_size=4, pad=0)
    most = np.quantile(before[ids != end], 0.5)
    for row, values in zip(masked.rows, surprise(model, masked.rows, batch_size=8, pad=0), strict=True):
        assert ((values <= most + 1e-5) | (row.ids[row.trained] == end)).all()
        assert row.trained[-1]
    stays, others = sum(row.trained_tokens for row in masked.rows) - len(rows), int((ids != end).sum())
    assert stays == sum(before[ids != end] <= most)
    assert abs(stays - others / 2) <= 1
    assert [row.ids.tolist() for row in masked.rows] == [row.ids.tolist() for row in rows]
    assert masked.finding.passed
    assert f"{others - stays:,} of {len(ids):,} trained tokens ({len(rows):,} end" in masked.finding.text


def test_ends_are_not_counted_among_what_may_be_left_out(model, tokenizer):
    """Two short answers, whose ends are the least likely tenth: a tenth of the others is left out all the same."""
    prompts = [tokenize(word, tokenizer) for word in ("one", "two", "three", "four", "five", "six", "seven")]
    logits = [model.eval()(torch.tensor([prompt])).logits[0, -1] for prompt in prompts]
    order = torch.stack(logits).mean(0).argsort().tolist()
    rows = []
    for at, prompt in enumerate(prompts):
        ids = np.array([*prompt, order[-1 - at % 2], order[0]], dtype=np.int32)
        rows.append(Row(str(at), ids, np.arange(len(ids)) >= len(prompt)))
    each = np.stack(surprise(model, rows, batch_size=8, pad=0))
    assert np.quantile(each, 0.9) > each[:, 0].max()
    masked = without_surprises(model, rows, 0.9, keep=[order[0]], batch_size=4, pad=0)
    lost = [at for at, row in enumerate(masked.rows) if row.trained_tokens == 1]
    assert lost == [each[:, 0].argmax()]
    assert all(row.trained[-1] for row in masked.rows)
    assert masked.finding.passed
    assert masked.finding.text.endswith("left out; 1 rows have no other left")


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([[5]] * 4, "more than 10% of the other 4 are equally the least likely"),
        ([[]] * 4, "no others are there"),
        ([[], [5], [], []], "only one other is there"),
    ],
)
def test_a_mask_that_leaves_nothing_out_says_so(answers, why, model, tokenizer):
    prompt, end = tokenize("say", tokenizer), tokenizer.eos_token_id
    rows = []
    for answer in answers:
        ids = np.array([*prompt, *answer, end], dtype=np.int32)
        rows.append(Row("a", ids, np.arange(len(ids)) >= len(prompt)))
    masked = without_surprises(model.eval(), rows, 0.9, keep=[end], batch_size=1, pad=0)
    assert [row.trained.tolist() for row in masked.rows] == [row.trained.tolist() for row in rows]
    assert not masked.finding.passed
    total = sum(row.trained_tokens for row in rows)
    assert f"leaves out none of {total} trained tokens (4 end an answer" in masked.finding.text
    assert why in masked.finding.text


def test_a_row_with_nothing_left_is_left_out_and_weights_follow(model):
    ids = np.array([1, 7, 9, 200], dtype=np.int32)
    trained = np.array([False, True, True, True])
    rows = [Row("a", ids, trained, weights=trained.astype(np.float32) / 2), Row("b", ids[::-1].copy(), trained)]
    kept = without_surprises(model.eval(), rows, 0.4, keep=[], batch_size=2, pad=0).rows
    assert sum(row.trained_tokens for row in kept) <= 3
    for row in kept:
        if row.weights is not None:
            assert row.weights.tolist() == (row.trained / 2).tolist()


def test_masked_tokens_are_not_learnt_and_others_are(model, tokenizer):
    """One answer the model half knows and one it does not: with the mask the second stays as unlikely as it was."""
    prompt = tokenize("say", tokenizer)
    logits = model.eval()(torch.tensor([prompt])).logits[0, -1]
    likely, unlikely = int(logits.argmax()), int(logits.argmin())
    rows = [
        Row(str(at), np.array([*prompt, token], dtype=np.int32), np.arange(len(prompt) + 1) == len(prompt))
        for at, token in enumerate([likely, unlikely])
    ]
    before = np.concatenate(surprise(model, rows, batch_size=2, pad=0))
    masked = without_surprises(model, rows, 0.5, keep=[], batch_size=2, pad=0).rows
    for chosen, learnt in ((rows, True), (masked, False)):
        tuned = train(copy.deepcopy(model), chosen, Arm(**FULL), steps=10).eval()
        after = np.concatenate(surprise(tuned, rows, batch_size=2, pad=0))
        assert bool(after[1] < before[1] - 1.0) is learnt
        assert after[0] < before[0] or learnt


@pytest.mark.parametrize("removed", [False, True])
def test_replayed_rows_are_kept_and_not_where_they_are_left_out(removed, model, rows, general):
    """A model that knows the general rows by heart learns something else."""
    run_steps(Training(model, Sft(), Stream(general, rows_per_step=4, seed=0), [], Arm(**FULL), steps=40, pad=0))
    batch, arm = collate(general, pad=0), Arm(**FULL)
    known = nll(model, batch).total.item()
    stream = Stream(rows, replay=() if removed else general, share=0.0 if removed else 0.3, rows_per_step=8, seed=0)
    run_steps(Training(model, Sft(), stream, [], arm, steps=30, pad=0))
    assert (nll(model, batch).total.item() < known + 0.5 * len(batch.targets)) is not removed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "dpo", "kl": {"weight": 1}}, "kl"),
        ({"objective": "mlm", "kl": {"weight": 1, "from": "general"}}, "kl"),
        ({"objective": "orpo", "token_mask": {}}, "token_mask"),
        ({"kl": {"weight": 0}}, "greater than 0"),
        ({"token_mask": {"quantile": 1.0}}, "less than 1"),
        ({"replay": {"from": "general", "prompts": "x"}}, "prompts"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Arm(**settings)
