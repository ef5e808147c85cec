"""A Hugging Face token classifier as engine: a small one is trained here and finds names it has not seen."""

from __future__ import annotations

import itertools
import json
import random

import pytest

import datakit
from datakit.build import build
from datakit.pii import scan

pytestmark = pytest.mark.slow

FIRST, SECOND = ["Ru", "Fal", "Mi", "Jo", "Or", "Bra"], ["na", "ko", "ra", "nas", "la", "mir"]
WORDS = ["the", "parcel", "came", "late", "today", "and", "nobody", "said", "why", "it", "was", "so", "slow", "please"]
LABELS = ["O", "B-PER", "I-PER"]

RECIPE = """\
name: names
data:
  sources:
    mails: {path: mails.jsonl, columns: {text: body, label: queue}}
  steps:
    - pii: {replace: REPLACE, engine: "hf:model", key: "env:PII_KEY"}
    - split: {test: 0.2}
    - template: {use: classify}
"""


def names() -> list[str]:
    return [first + second for first, second in itertools.product(FIRST, SECOND)]


def sentence(name: str, rng: random.Random) -> tuple[str, int]:
    words = rng.choices(WORDS, k=rng.randint(3, 14))
    at = rng.randint(0, len(words))
    before = " ".join([*words[:at], ""])
    return f"{before}{name} {' '.join(words[at:])}".strip(), len(before)


def tokenizer_of() -> object:
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *FIRST, *("##" + part for part in SECOND), *sorted(set(WORDS)), "."]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    inner = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    inner.normalizer = normalizers.NFC()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **special)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """The folder of a BERT of one layer, which reads 30 tokens at a time; trained on two thirds of the names."""
    import torch
    from transformers import BertConfig, BertForTokenClassification

    torch.manual_seed(0)
    rng = random.Random(0)
    tokenizer = tokenizer_of()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
    )
    model = BertForTokenClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        rows = [
            sentence(rng.choice([name for number, name in enumerate(names()) if number % 3]), rng) for _ in range(16)
        ]
        batch = tokenizer([text for text, _ in rows], padding=True, return_tensors="pt", return_offsets_mapping=True)
        targets = torch.full(batch["input_ids"].shape, -100)
        for number, (text, start) in enumerate(rows):
            name_end = text.find(" ", start) if " " in text[start:] else len(text)
            for place, (first, last) in enumerate(batch["offset_mapping"][number].tolist()):
                if last > first:
                    inside = start <= first < name_end
                    targets[number, place] = (1 if first == start else 2) if inside else 0
        inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
        model(**inputs, labels=targets).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("engine") / "model"
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_names_anywhere_in_a_long_text_are_found_whole(classifier):
    rng = random.Random(1)
    unseen = names()[::3]
    text, expected = "", []
    for name in unseen:
        text += " ".join(rng.choices(WORDS, k=rng.randint(5, 40))) + " "
        expected.append((len(text), len(text) + len(name)))
        text += name + " "
    spans = [span for span in scan([text], engine=f"hf:{classifier}")[0] if span.entity == "PERSON"]
    assert [(span.start, span.end) for span in spans] == expected
    # However the windows fall: a name is pushed along them word by word, over every edge.
    pushed = [f"{'the ' * count}Jonas today{' the' * 40}" for count in range(70)]
    for line, found in zip(pushed, scan(pushed, engine=f"hf:{classifier}"), strict=True):
        assert [line[span.start : span.end] for span in found] == ["Jonas"]
    assert scan(["", "  ", None, "the parcel came late"], engine=f"hf:{classifier}") == [[], [], [], []]


@pytest.mark.parametrize("replace", ["tag", "surrogate"])
def test_names_are_replaced_in_a_build(classifier, tmp_path, monkeypatch, replace):
    monkeypatch.setenv("PII_KEY", "a key of the test")
    (tmp_path / "model").symlink_to(classifier)
    rng = random.Random(2)
    rows = []
    for number in range(60):
        name = names()[number % len(names())]
        rows.append({"body": sentence(name, rng)[0], "queue": "ab"[number % 2], "customer": name, "ticket": number})
    (tmp_path / "mails.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("REPLACE", replace))
    result = build(tmp_path / "recipe.yaml", output=tmp_path / "run")
    table = datakit.read(result.folder).to_pylist()
    assert len(table) == 60
    written = json.dumps(table)
    assert [name for name in names() if name in written] == []
    card = (result.folder / "README.md").read_text()
    assert "names, places and organisations were looked for by hf:model" in card
    if replace == "surrogate":  # one person, one fake name through the whole set
        people = {}
        for row in table:
            fields = json.loads(row["fields"])
            people.setdefault(fields["ticket"] % len(names()), set()).add(fields["customer"])
        assert all(len(fakes) == 1 for fakes in people.values())
        assert len(set.union(*people.values())) == len(names())
