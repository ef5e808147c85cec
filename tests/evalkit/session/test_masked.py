"""Pseudo-log-likelihood of a tiny random BERT against masking one token at a time by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import EvalError
from evalkit.evaluate import Session
from evalkit.suite import load_suite


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    from tests.evalkit.session.conftest import WORDS

    folder = tmp_path_factory.mktemp("bert")
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        [" ".join(WORDS), "Q: A: yes no maybe ?"] * 20,
        trainers.WordPieceTrainer(vocab_size=150, special_tokens=special, show_progress=False),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=64, **{f"{key}_token": value for key, value in names.items()}
    ).save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=64, initializer_range=0.3, **shape
    )
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


def by_hand(model: Any, tokenizer: Any, context: str, continuation: str) -> float:
    import torch

    whole = tokenizer(context + continuation, return_tensors="pt")["input_ids"]
    start = len(tokenizer(context, add_special_tokens=False)["input_ids"]) + 1
    total = 0.0
    for place in range(start, whole.shape[1] - 1):
        masked = whole.clone()
        masked[0, place] = tokenizer.mask_token_id
        with torch.no_grad():
            total += float(model(input_ids=masked).logits[0, place].log_softmax(-1)[whole[0, place]])
    return total


def test_scores_are_those_of_masking_by_hand(bert_folder: Path) -> None:
    from lm_eval.api.instance import Instance
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from evalkit.models.masked import MaskedModel

    model, tokenizer = (
        AutoModelForMaskedLM.from_pretrained(bert_folder).eval(),
        AutoTokenizer.from_pretrained(bert_folder),
    )
    pairs = [
        ("the cat sat on", " a mat"),
        ("", "green hills"),
        ("Q: happy dogs ? A:", " yes"),
        ("birds", " sang songs over hills"),
    ]
    asked = [Instance("loglikelihood", {}, pair, 0, ("t", at, 1)) for at, pair in enumerate(pairs)]
    for batch_tokens in (1, 1000):
        tested = MaskedModel(model, tokenizer, batch_tokens=batch_tokens)
        found = [value for value, _ in tested.loglikelihood(asked)]
        assert found == pytest.approx([by_hand(model, tokenizer, *pair) for pair in pairs], abs=1e-4)
    long = [Instance("loglikelihood", {}, ("the cat " * 60, "sat"), 0, ("t", 0, 1))]
    tested.prepare(None)
    assert tested.loglikelihood(long)[0][0] < 0
    assert tested.facts.cut_contexts == 1
    text = "the cat sat on a mat " * 20
    rolled = [Instance("loglikelihood_rolling", {}, (text,), 0, ("t", 0, 1))]
    assert tested.loglikelihood_rolling(rolled)[0] < 0
    assert tested.facts.requests[0, 0].n_tokens == len(tokenizer(text, add_special_tokens=False)["input_ids"]) > 64


def test_an_encoder_takes_a_suite_of_options_and_no_generation(bert_folder: Path, suite_file: Path) -> None:
    suite = load_suite(suite_file)
    session = Session(bert_folder)
    log = session.evaluate(suite.tasks[0])
    assert len(log.primary()) == 40
    assert Session(bert_folder).evaluate(suite.tasks[2]).primary().num_rows == 6
    with pytest.raises(EvalError, match="an encoder generates no text"):
        session.evaluate(suite.tasks[1])
