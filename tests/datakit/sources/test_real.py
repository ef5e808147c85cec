from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

import datakit

DATA = Path(os.environ.get("DATAKIT_REAL_DATA") or Path(__file__).parents[3].parent / "shared" / "data")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set DATAKIT_REAL_DATA"),
]


@pytest.mark.parametrize(
    ("path", "options", "rows"),
    [
        ("classification/sms_spam/SMSSpamCollection.gz", {"header": ["label", "text"]}, 5574),
        ("classification/banking77/train.csv.gz", {"labels": {"column": "category"}}, 10_003),
        (
            "classification/sentence_polarity/sentence_polarity.zip",
            {"members": "rt-polarity.*", "format": "text", "encoding": "latin-1", "labels": {"column": "file"}},
            10_662,
        ),
        ("instruction/gpteacher/roleplay*.json.gz", {"columns": {"prompt": "instruction", "answer": "output"}}, 3146),
        ("instruction/korean_chatbot/ChatbotData.csv.gz", {"columns": {"prompt": "Q", "answer": "A"}}, 11_823),
        ("instruction/dpo_preference_demo/dpo_en_demo.json.gz", {"columns": {"prompt": "conversations"}}, 300),
        ("korean/klue_dev/klue-nli-v1.1_dev.json.gz", {"columns": {"text": "premise", "label": "gold_label"}}, None),
        ("benchmarks/gsm8k/train.jsonl.gz", {"columns": {"prompt": "question", "answer": "answer"}}, 7473),
        ("pii/presidio_research/synth_dataset_v2.json.gz", {"columns": {"text": "full_text"}}, 1500),
    ],
)
def test_real_files_are_read_as_they_are(path, options, rows):
    if "prompt" in options.get("columns", {}) and options["columns"]["prompt"] == "conversations":
        options = {"columns": {"prompt": "conversations", "chosen": "chosen", "rejected": "rejected"}}
    table = datakit.read(path, folder=DATA, **options)
    assert rows is None or table.num_rows == rows
    assert len(set(table["id"].to_pylist())) == table.num_rows


def test_sms_spam_counts_of_the_collection():
    """747 spam and 4,827 ham, as its authors state."""
    table = datakit.read("classification/sms_spam/SMSSpamCollection.gz", folder=DATA, header=["label", "text"])
    assert Counter(table["label"].to_pylist()) == {"ham": 4827, "spam": 747}
