"""Log-likelihoods against lm-eval's own Hugging Face model, which is the reference."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.core.chat import ChatSettings, encode, tokenize
from evalkit.errors import EvalError
from evalkit.models.rows import plan_rows, sequences
from evalkit.models.tokens import encode_pairs, tokenize_all

WORDS = ["the", "un", "happy", "unhappily", " running", "cats", "\n", "Q: ", "  ", "green hills", "A:"]


def load(folder: Path) -> tuple[Any, Any]:
    from datakit.core.checkpoint import load_model, load_tokenizer

    return load_model(folder, dtype="float32"), load_tokenizer(folder)


def reference(model: Any, tokenizer: Any, **options: Any) -> Any:
    from lm_eval.models.huggingface import HFLM

    # logits_cache groups requests by tokens and mixes up those whose contexts are cut at different places.
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=16, logits_cache=False, **options)


def ours(model: Any, tokenizer: Any, **options: Any) -> Any:
    from evalkit.models.hf import HFModel

    return HFModel(model, tokenizer, chat=ChatSettings(template="none"), **options)


def requests(kind: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, args, 0, ("task", at, 1)) for at, args in enumerate(arguments)]


def hard_pairs(seed: int = 0, items: int = 25) -> list[tuple[str, str]]:
    """Items with options of several lengths: merges at the boundary, trailing spaces, empty and over-long contexts."""
    draw = random.Random(seed)

    def text(low: int, high: int) -> str:
        return "".join(draw.choice(WORDS) + draw.choice(["", " "]) for _ in range(draw.randint(low, high)))

    found = []
    for item in range(items):
        context = text(1, 12)
        context += {0: "   ", 1: "\n", 2: "un"}.get(item % 5, "")
        context = text(150, 200) if item % 6 == 0 else "" if item % 7 == 0 else context
        found += [(context, f"{draw.choice(['', ' '])}{text(1, 1 + option * 2)}x") for option in range(4)]
    return found


@pytest.mark.parametrize("folder", ["model_folder", "no_bos_folder"])
def test_loglikelihoods_are_those_of_lm_eval(
    folder: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    model, tokenizer = load(request.getfixturevalue(folder))
    asked = requests("loglikelihood", hard_pairs())
    expected = reference(model, tokenizer).loglikelihood(asked, disable_tqdm=True)
    cut = sum("exceeds model's maximum length" in record.message for record in caplog.records)
    for batch_tokens in (1, 300, 100_000):
        tested = ours(model, tokenizer, batch_tokens=batch_tokens)
        found = tested.loglikelihood(asked)
        assert tested._scorer.packs
        for (value, greedy), (wanted, wanted_greedy) in zip(found, expected, strict=True):
            assert value == pytest.approx(wanted, abs=1e-4)
            assert greedy == wanted_greedy
        assert tested.facts.cut_contexts == cut > 0


@pytest.mark.parametrize("words", [10, 60])
def test_what_all_requests_begin_with_is_computed_once(
    words: int, make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few-shot examples that stand the same before each item; one item has lost them, for it is too long."""
    model, tokenizer = load(make_model(length=512))
    draw = random.Random(words)
    shots = " ".join(draw.choice(["cats", "green hills", "happy", "Q: A:"]) for _ in range(words)) + "\n\n"
    pairs = [(shots + context, option) for context, option in hard_pairs(seed=5, items=12)]
    pairs += [(shots + "the cats " * 400, f" {word}") for word in ("happy", "green hills")]
    asked = requests("loglikelihood", pairs)
    expected = reference(model, tokenizer).loglikelihood(asked, disable_tqdm=True)
    widths: list[int] = []
    forward = type(model).forward

    @functools.wraps(forward)
    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        widths.append(kwargs["input_ids"].numel())
        return forward(self, *args, **kwargs)

    tested = ours(model, tokenizer, batch_tokens=2000)
    _ = tested._scorer.packs
    monkeypatch.setattr(type(model), "forward", counted)
    widths.clear()
    found = tested.loglikelihood(asked)
    sizes = [len(tokenizer(one + two)["input_ids"]) for one, two in pairs]
    assert sum(widths) < 0.6 * sum(min(size, 512) for size in sizes)
    for (value, greedy), (wanted, wanted_greedy) in zip(found, expected, strict=True):
        assert value == pytest.approx(wanted, abs=max(1e-4, 5e-7 * abs(wanted)))
        assert greedy == wanted_greedy


def test_packing_is_the_plain_computation(model_folder: Path) -> None:
    from evalkit.models.scoring import Scorer

    model, tokenizer = load(model_folder)
    pairs = encode_pairs(hard_pairs(seed=3, items=40), tokenizer)
    size = {"device": "cpu", "max_length": 128, "batch_tokens": 512}
    packed, cut = Scorer(model, **size, pack=True).score(pairs)
    plain, plain_cut = Scorer(model, **size, pack=False).score(pairs)
    assert cut == plain_cut
    assert any(row.packed for row in plan_rows(sequences(pairs, max_length=128), max_length=128, pack=True))
    for (value, greedy), (wanted, wanted_greedy) in zip(packed, plain, strict=True):
        assert value == pytest.approx(wanted, abs=1e-4)
        assert greedy == wanted_greedy


def test_long_trunks_are_computed_before_their_branches(model_folder: Path) -> None:
    """Trunks of many lengths; branches that begin inside the continuation, before it and in the context."""
    from evalkit.models.scoring import Scorer

    model, tokenizer = load(model_folder)
    texts = ["the green hill and the old mill " * count for count in (8, 9, 11, 14)]
    pairs = [(text, f" {end}") for text in texts for end in ("a red ball", "a red cat sat", "a", "no", "no more than")]
    pairs += [(f"{texts[3]}{name} sat", " on the mat") for name in ("Tom", "Anna", "a cat")]
    encoded = encode_pairs([(f"{at % 4} {one}", two) for at, (one, two) in enumerate(pairs)] + pairs, tokenizer)
    size = {"device": "cpu", "max_length": 1000, "batch_tokens": 2000}
    rows = plan_rows(sequences(encoded, max_length=1000), max_length=1000, pack=True)
    assert sum(row.packed and row.trunk >= 64 for row in rows) > 4
    scorer = Scorer(model, **size)
    assert scorer.packs
    masked = Scorer(model, **size)
    masked._from = 10_000
    plain = Scorer(model, **size, pack=False).score(encoded)[0]
    for other in (scorer.score(encoded)[0], masked.score(encoded)[0]):
        assert [value for value, _ in other] == pytest.approx([value for value, _ in plain], abs=1e-4)
        assert [greedy for _, greedy in other] == [greedy for _, greedy in plain]


def test_the_last_layer_is_computed_where_something_is_scored(model_folder: Path) -> None:
    """Packed, plain, behind a shared beginning and with a long trunk: the same values, from far fewer tokens."""
    from evalkit.models.scoring import Scorer

    model, tokenizer = load(model_folder)
    long = "the green hill and the old mill " * 10
    texts = [*hard_pairs(seed=5, items=30), *((f"{long}{at}", " a red cat sat") for at in range(5))]
    pairs = encode_pairs([*texts, *((f"{long}{at}", end) for at in range(4) for end in (" a", " no more"))], tokenizer)
    size = {"device": "cpu", "max_length": 400, "batch_tokens": 800}
    tokens = 0

    def count(_: Any, args: tuple[Any, ...]) -> None:
        nonlocal tokens
        tokens += args[0].shape[0] * args[0].shape[1]

    model.model.layers[-1].mlp.down_proj.register_forward_pre_hook(count)
    for pack in (True, False):
        whole, short = Scorer(model, **size, pack=pack), Scorer(model, **size, pack=pack)
        whole._tried, whole._last = True, None
        _ = whole.packs, short.packs, short.score(pairs[:1])
        assert short._last is not None
        tokens = 0
        expected, all_tokens = whole.score(pairs)[0], tokens
        tokens = 0
        found = short.score(pairs)[0]
        assert tokens < all_tokens / 2
        assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=1e-4)
        assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]


def test_a_last_layer_that_mixes_tokens_is_left_alone(model_folder: Path) -> None:
    from evalkit.models.scoring import Scorer

    model, tokenizer = load(model_folder)
    model.model.layers[-1].mlp.register_forward_hook(lambda _, args, found: found + args[0].cumsum(1))
    pairs = encode_pairs(hard_pairs(seed=6, items=5), tokenizer)
    scorer = Scorer(model, device="cpu", max_length=128, batch_tokens=512)
    values = scorer.score(pairs)[0]
    assert scorer._last is None
    whole = Scorer(model, device="cpu", max_length=128, batch_tokens=512)
    whole._tried, whole._last = True, None
    assert values == whole.score(pairs)[0]


def test_what_a_model_does_to_its_logits_it_still_does(model_folder: Path) -> None:
    """The output layer sees the scored places alone; Granite divides what comes out of it."""
    import torch
    from transformers import AutoTokenizer, GraniteConfig
    from transformers.models.auto.modeling_auto import AutoModelForCausalLM

    from evalkit.models.scoring import Scorer

    shape = {"vocab_size": 384, "hidden_size": 32, "initializer_range": 0.3, "bos_token_id": 0, "eos_token_id": 1}
    size = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(GraniteConfig(logits_scaling=7.0, **shape, **size)).eval()
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    asked = requests("loglikelihood", hard_pairs(seed=1, items=10))
    expected = reference(model, tokenizer, max_length=128).loglikelihood(asked, disable_tqdm=True)
    found, _ = Scorer(model, device="cpu", max_length=128, batch_tokens=512).score(
        encode_pairs([one.args for one in asked], tokenizer)
    )
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=1e-4)
    assert not model.lm_head._forward_pre_hooks


@pytest.mark.parametrize("kind", ["gpt2", "bloom", "mistral_window"])
def test_models_that_cannot_be_packed_are_scored_plainly(kind: str, model_folder: Path) -> None:
    """GPT-2 takes positions from outside; ALiBi ignores them; a sliding window would be lost."""
    import torch
    from transformers import AutoTokenizer, BloomConfig, GPT2Config, MistralConfig
    from transformers.models.auto.modeling_auto import AutoModelForCausalLM

    from evalkit.models.scoring import Scorer

    shape = {"vocab_size": 384, "hidden_size": 32, "initializer_range": 0.3, "bos_token_id": 0, "eos_token_id": 1}
    window = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64}
    config = {
        "gpt2": lambda: GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=128, **shape),
        "bloom": lambda: BloomConfig(n_layer=2, n_head=4, **shape),
        "mistral_window": lambda: MistralConfig(sliding_window=8, **window, **shape),
    }[kind]()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    scorer = Scorer(model, device="cpu", max_length=128, batch_tokens=512)
    assert scorer.packs == (kind == "gpt2")
    asked = requests("loglikelihood", hard_pairs(seed=1, items=10))
    expected = reference(model, tokenizer, max_length=128).loglikelihood(asked, disable_tqdm=True)
    found, _ = scorer.score(encode_pairs([one.args for one in asked], tokenizer))
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=2e-4)


def test_rolling_documents_are_those_of_lm_eval_without_a_second_bos(model_folder: Path) -> None:
    model, tokenizer = load(model_folder)
    texts = [(" ".join(["green hills"] * count),) for count in (1, 7, 60, 200)]
    asked = requests("loglikelihood_rolling", texts)
    tested = ours(model, tokenizer)
    found = tested.loglikelihood_rolling(asked)
    expected = reference(model, tokenizer, add_bos_token=False).loglikelihood_rolling(asked, disable_tqdm=True)
    assert found == pytest.approx(expected, abs=1e-3)
    counts = [tested.facts.requests[at, 0].n_tokens for at in range(4)]
    assert counts == [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for (text,) in texts]
    assert counts[-1] > 2 * 128


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*WORDS, "<s>", "é", "한"]), min_size=1, max_size=6).map("".join))
def test_batches_are_tokenised_like_training(model_folder: Path, text: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    assert tokenize_all([text], tokenizer) == {text: tokenize(text, tokenizer)}


def test_pairs_are_split_like_training(model_folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    pairs = [pair for pair in hard_pairs(seed=2) if pair[0]]
    for pair, (context, continuation) in zip(pairs, encode_pairs(pairs, tokenizer), strict=True):
        prompt, answer = encode(*pair, tokenizer, end="")
        assert (context, continuation) == (prompt, answer)


def test_a_continuation_that_melts_into_the_context_is_scored_where_they_differ(model_folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    melted = next(
        (one, two)
        for one in ("unhapp", "runnin", "the ca", "gree", "whil", "bird")
        for two in ("y", "g", "t", "n", "e", "s")
        if len(tokenize(one + two, tokenizer)) <= len(tokenize(one, tokenizer))
    )
    context, continuation = encode_pairs([melted], tokenizer)[0]
    assert continuation
    assert tokenizer.decode(context + continuation, skip_special_tokens=True) == "".join(melted)


def test_an_empty_option_is_refused(model_folder: Path) -> None:
    from transformers import AutoTokenizer

    with pytest.raises(EvalError, match="no token of its own"):
        encode_pairs([("Q:", "")], AutoTokenizer.from_pretrained(model_folder))


def test_nan_is_an_error(model_folder: Path) -> None:
    import torch

    model, tokenizer = load(model_folder)
    with torch.no_grad():
        model.lm_head.weight[3] = float("nan")
    with pytest.raises(EvalError, match="not numbers"):
        ours(model, tokenizer).loglikelihood(requests("loglikelihood", [("a", " b")]))


def test_rows_share_contexts_and_predict_every_token_once() -> None:
    context = list(range(20))
    pairs = [(context, [1]), (context, [2]), (context, [3, 4, 5]), (context, [3, 4]), (context, [6, 7]), ([9], [8, 8])]
    asked = sequences(pairs, max_length=64)
    assert not any(one.cut for one in asked)
    rows = plan_rows(asked, max_length=64, pack=True)
    first = rows[0]
    assert first.ids == [*context, 6, 3, 4]
    assert first.positions == [*range(20), 20, 20, 21]
    assert first.requests == {4: [19, 20], 2: [19, 21, 22], 3: [19, 21], 0: [19], 1: [19]}
    assert sorted(request for row in rows for request in row.requests) == list(range(6))
    long = sequences([([5] * 100, [1, 2])], max_length=16)
    assert (len(long[0].ids), long[0].cut, long[0].first) == (16, 85, 14)
