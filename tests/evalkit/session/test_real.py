"""The example suite on a real pretrained model, item by item against lm-eval's own Hugging Face model."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from evalkit.evaluate import Session
from evalkit.suite import load_suite


@pytest.mark.real
@pytest.mark.slow
def test_fifty_items_of_every_paradigm_agree_with_lm_eval(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    monkeypatch.setenv("DATAKIT_REAL_DATA", str(real_data))
    suite = load_suite(Path(__file__).parents[3] / "examples" / "sms_suite.yaml")
    session = Session(real_data / "weights" / "stories260K" / "hf")
    log = session.evaluate(suite, limit=50)
    assert len(log.primary()) == 13 * 50
    model, tokenizer = session.load()
    reference = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=32, logits_cache=False)
    scores = []
    for task in suite.tasks[:-1]:
        path = real_data / "benchmarks" / "blimp" / f"{task.name}.jsonl.gz"
        with gzip.open(path, "rt") as stream:
            pairs = [json.loads(line) for line in stream.readlines()[:50]]
        found = {row["target"]: row for row in log.primary().to_pylist() if row["task"] == task.name}
        requests = [
            Instance("loglikelihood", {}, ("", pair[key]), 0, ("t", at, 1))
            for at, pair in enumerate(pairs)
            for key in ("sentence_good", "sentence_bad")
        ]
        values = [value for value, _ in reference.loglikelihood(requests, disable_tqdm=True)]
        for pair, good, bad in zip(pairs, values[::2], values[1::2], strict=True):
            row = found[pair["sentence_good"]]
            assert row["choice_logprobs"] == pytest.approx([good, bad], abs=1e-4)
            assert row["score"] == float(good > bad)
            scores.append(row["score"])
    assert 0.6 < sum(scores) / len(scores) < 0.85
