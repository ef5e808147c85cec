from __future__ import annotations

import copy
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, DataCollatorForLanguageModeling

from datakit.core.storage import write_table
from train import Arm, TrainError, fit
from train.encoder import Encoder
from train.objectives import mlm
from train.objectives.mlm import MaskedRow, Mlm, corrupt

TEXTS = [
    "the tide comes in and the tide goes out",
    "boats rise",
    "and the boats rise with it, all of them at once",
    "low water again",
    "the sea is never still",
]


def masked_tokenizer():
    """A word-piece tokenizer with BERT's special tokens; every letter is a word of its own."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz,.!?"
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*names, *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = Tokenizer(models.WordPiece({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    keys = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **dict(zip(keys, names, strict=True)))


def encoder_model(kind):
    """BERT or ModernBERT, some ten thousand random parameters."""
    from transformers import BertConfig, ModernBertConfig

    sizes = {
        "vocab_size": 65, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0,
    }  # fmt: skip
    if kind == "bert":
        config = BertConfig(**sizes, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    else:
        ids = {"bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
        config = ModernBertConfig(**sizes, **ids, local_attention=16)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForMaskedLM.from_config(config, dtype=torch.float32)


@pytest.fixture(scope="module")
def masked():
    return masked_tokenizer()


@pytest.fixture(params=["bert", "modernbert"])
def kind(request):
    return request.param


@pytest.fixture
def rows(masked, table):
    encoder = Encoder(masked, None, "", 32)
    return Mlm().encode(table(*({"text": text} for text in TEXTS)), encoder).rows


def drawn(rows, seed=0, masked=0.15):
    source = random.Random(seed)
    return [Mlm(masked).draw(row, source) for row in rows]


def test_rows_have_the_special_tokens_and_long_text_goes_on(masked, table):
    made = Mlm().encode(table({"text": "abc " * 20}), Encoder(masked, None, "", 10)).rows
    assert all(len(row) <= 10 for row in made)
    assert all(row.ids[0] == 2 and row.ids[-1] == 3 for row in made)
    inner = np.concatenate([row.ids[1:-1] for row in made])
    assert inner.tolist() == masked("abc " * 20, add_special_tokens=False)["input_ids"]
    assert all((row.trained == ~row.special).all() for row in made)


def test_chooses_and_hides_as_transformers_collator_does(masked):
    """Shares of chosen, masked, swapped and kept tokens over 40,000 tokens, beside the collator's own."""
    size, length = 400, 100
    generator = np.random.default_rng(0)
    ids = generator.integers(5, 65, (size, length)).astype(np.int32)
    ids[:, 0], ids[:, -1] = 2, 3
    special = np.zeros((size, length), dtype=bool)
    special[:, [0, -1]] = True
    made = [MaskedRow(str(at), ids[at], ~special[at], special[at], 4, 65) for at in range(size)]
    ours = [corrupt(row, generator, probability=0.15) for row in made]
    collator = DataCollatorForLanguageModeling(masked, mlm_probability=0.15, seed=0)
    batch = collator(
        [
            {"input_ids": row.tolist(), "special_tokens_mask": mark.tolist()}
            for row, mark in zip(ids, special.astype(int), strict=True)
        ]
    )
    theirs = (batch["labels"] != -100).numpy(), batch["input_ids"].numpy()

    def shares(chosen, shown):
        return [
            chosen[~special].mean(),
            chosen[special].mean(),
            (shown[chosen] == 4).mean(),
            (shown[chosen] == ids[chosen]).mean(),
            (shown[~chosen] == ids[~chosen]).mean(),
        ]

    found = shares(np.stack([row.trained for row in ours]), np.stack([row.shown for row in ours]))
    # Two binomials of some 6,000 tokens: four standard errors of their difference are .03.
    assert found == pytest.approx(shares(*theirs), abs=0.03)
    assert found[0] == pytest.approx(0.15, abs=0.01)
    assert found[1] == 0.0
    assert found[2:] == pytest.approx([0.8, 0.1, 1.0], abs=0.03)


def test_equals_the_models_own_loss_on_what_the_collator_made(kind, masked, rows):
    """The collator hides, the model of transformers has its own mean loss; ours is the sum over the same tokens."""
    model = encoder_model(kind).eval()
    collator = DataCollatorForLanguageModeling(masked, mlm_probability=0.3, seed=1)
    batch = collator([{"input_ids": row.ids.tolist()} for row in rows])
    chosen = (batch["labels"] != -100).numpy()
    own = [
        replace(row, trained=chosen[at, : len(row)], shown=batch["input_ids"][at, : len(row)].numpy().astype(np.int32))
        for at, row in enumerate(rows)
    ]
    ours = Mlm().loss(model, Mlm().collate(own, pad=0)).total.item()
    theirs = model(**batch).loss.item()
    assert ours / chosen.sum() == pytest.approx(theirs, rel=1e-5)


def test_padding_changes_nothing(kind, rows):
    model, made = encoder_model(kind).eval(), drawn(rows)
    whole = Mlm().loss(model, Mlm().collate(made, pad=0)).total.item()
    alone = sum(Mlm().loss(model, Mlm().collate([row], pad=0)).total.item() for row in made)
    assert whole == pytest.approx(alone, rel=1e-5)


def test_accumulation_is_exact(kind, rows, run):
    """What is chosen is drawn before the rows are batched, and the divisor is the step's own count."""
    model = encoder_model(kind)
    other = copy.deepcopy(model)
    one = run(model, Mlm(), rows, steps=6, batch_size=4, learning_rate=1e-3)
    two = run(other, Mlm(), rows, steps=6, batch_size=1, accumulate=4, learning_rate=1e-3)
    counts = [entry["trained_tokens"] for entry in one.history]
    assert len(set(counts)) > 1  # the steps do not have equal numbers of chosen tokens
    assert counts == [entry["trained_tokens"] for entry in two.history]
    for a, b in zip(one.history, two.history, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["gradient_norm"] == pytest.approx(b["gradient_norm"], rel=1e-4)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_every_epoch_hides_other_tokens_and_a_seed_the_same(rows):
    first, again, other = drawn(rows), drawn(rows), drawn(rows, seed=1)
    assert all((a.shown == b.shown).all() and (a.trained == b.trained).all() for a, b in zip(first, again, strict=True))
    assert any((a.trained != b.trained).any() for a, b in zip(first, other, strict=True))
    assert all(row.weight >= 1 for row in drawn(rows, masked=0.001))


@pytest.mark.parametrize("removed", [False, True])
def test_learns_hidden_words_and_not_where_none_are_hidden(removed, rows, run, monkeypatch):
    """Without hiding, a token can be copied: nothing is learnt of what is hidden."""
    if removed:
        monkeypatch.setattr(mlm, "SHOWN_AS_MASK", 0.0)
        monkeypatch.setattr(mlm, "SHOWN_AS_RANDOM", 0.0)
    model = encoder_model("bert")
    run(model, Mlm(), rows, steps=60, learning_rate=3e-3)
    monkeypatch.undo()
    test = Mlm().collate(drawn(rows, seed=9), pad=0)
    with torch.no_grad():
        found = Mlm().loss(model.eval(), test).total.item() / test.weight
    assert (found < 3.0) is not removed


@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_trains_and_saves_an_encoder_that_evaluation_loads(kind, adapter, masked, table, tmp_path):
    from evalkit.models.encoder import is_masked, load_masked

    encoder_model(kind).save_pretrained(tmp_path / "model")
    masked.save_pretrained(tmp_path / "model")
    for split in ("train", "validation"):
        write_table(tmp_path / "data" / f"{split}-00000.parquet", table(*({"text": text} for text in TEXTS)))
    arm = Arm(objective="mlm", adapter=adapter, learning_rate=1e-2, steps=8, max_length=32)
    result = fit(arm, model=tmp_path / "model", data=tmp_path / "data", output=tmp_path / "out")
    assert result.validation_loss < 4.3
    if adapter == "full":
        assert is_masked(tmp_path / "out")
        assert load_masked(tmp_path / "out", dtype="float32", device="cpu").config.vocab_size == 65
    else:
        from evalkit.models.checkpoint import with_adapter

        with with_adapter(load_masked(tmp_path / "model", dtype="float32", device="cpu"), tmp_path / "out") as tuned:
            assert tuned(torch.tensor([[2, 5, 4, 3]])).logits.shape == (1, 4, 65)


def test_a_tokenizer_without_a_mask_token_is_refused(tokenizer, table):
    with pytest.raises(TrainError, match="no mask token"):
        Mlm().encode(table({"text": "a"}), Encoder(tokenizer, None, "", 16))
