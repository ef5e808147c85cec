"""Published data: what the report says of votes is what a computation by hand says of the same votes."""

from __future__ import annotations

import json
import re
from collections import Counter

import numpy as np
import pytest

import datakit
from datakit.core.example import from_table
from datakit.core.hashing import digest
from datakit.core.step import StepContext
from datakit.labelling.folder import LabelFolder

pytestmark = pytest.mark.real

# Name, file, options of the source, first rows that are left out, labeller.
SETS = {
    "sms": ("classification/sms_spam/SMSSpamCollection.gz", {"format": "tsv", "header": ["label", "text"]}, "classify"),
    "banking77": ("classification/banking77/test.csv.gz", {"columns": {"label": "category"}}, "classify"),
    "nsmc": ("korean/nsmc/test.tsv.gz", {"columns": {"text": "document"}}, "classify.ko"),
}


def table_of(real_data, name):
    """120 rows spread over the file."""
    file, options, _ = SETS[name]
    if name == "sms":
        options = {**options, "encoding": "latin-1", "quoting": "none"}
    table = datakit.read(real_data / file, **options)
    every = table.num_rows // 120
    return table.take(list(range(0, every * 120, every)))


@pytest.mark.parametrize("name", SETS)
def test_the_report_agrees_with_a_computation_by_hand(name, real_data, stub, labelled, tmp_path):
    from krippendorff import alpha
    from sklearn.metrics import accuracy_score, cohen_kappa_score

    table = table_of(real_data, name)
    truth = {example.text.strip(): example.label for example in from_table(table)}
    names = sorted(set(truth.values()))

    def answer(text, body):
        """Right in about seven of ten, always the same for a text and a vote; now and then unusable."""
        draw = int(digest(text, body.get("seed", 0), "draw")[:6], 16) / 16**6
        if draw < 0.03:
            return "eggs and ham of no kind that anybody asked for today"
        wrong = names[int(digest(text, body.get("seed", 0))[:6], 16) % len(names)]
        return json.dumps({"label": truth[text.strip()] if draw < 0.7 else wrong}, ensure_ascii=False)

    stub.answer = answer
    spec = {"model": "stub", "server": stub.url, "timeout": 30, "votes": 3, "seed": 5}
    context = StepContext(private=tmp_path / "run" / "private", labels={"data": tuple(names)})
    options = {"use": SETS[name][2], "models": [spec], "gold": "label", "calibrate": "none"}
    _, step = labelled(table, context, **options)
    folder = LabelFolder.of(tmp_path / "run")
    votes, facts = folder.votes().to_pylist(), folder.read().facts

    by_row = {id: [vote for vote in votes if vote["example_id"] == id] for id in table["id"].to_pylist()}
    truth_of = dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))
    gold, said, confidence = [], [], []
    for example in from_table(table):
        usable = Counter(vote["value"] for vote in by_row[example.id] if vote["status"] == "ok")
        if not usable:
            continue
        most = max(usable.values())
        gold.append(example.label)
        said.append(next(option for option in names if usable[option] == most))
        confidence.append(most / 3)
    right = np.array(gold) == np.array(said)
    assert 0.5 < right.mean() < 1
    found = facts["gold"]
    assert found["labelled"] == len(gold)
    assert found["accuracy"]["value"] == pytest.approx(accuracy_score(gold, said))
    assert found["kappa"]["value"] == pytest.approx(cohen_kappa_score(gold, said))
    assert found["accuracy"]["low"] < right.mean() < found["accuracy"]["high"]
    codes = [[names.index(value) for value in side] for side in (gold, said)]
    expected = alpha(reliability_data=codes, level_of_measurement="nominal", value_domain=list(range(len(names))))
    assert found["alpha"]["value"] == pytest.approx(expected)

    counts = np.array([[sum(v["value"] == n for v in by_row[id]) for n in names] for id in by_row])
    assert facts["between_votes"]["value"] == pytest.approx(alpha(value_counts=counts, level_of_measurement="nominal"))
    error = sum(
        abs(right[np.array(confidence) == level].mean() - level) * (np.array(confidence) == level).sum()
        for level in set(confidence)
    ) / len(right)
    assert facts["ece"]["raw"] == pytest.approx(error)
    for point in facts["coverage"]:
        inside = np.array(confidence) >= point["threshold"] - 1e-12
        assert (point["coverage"], point["accuracy"]) == pytest.approx((inside.mean(), right[inside].mean()))

    intervals = [point for point in facts["coverage"] if point["low"] >= 0.95]
    best = max(intervals, key=lambda point: point["coverage"], default=None)
    assert (facts["threshold"] is None) == (best is None)
    assert (facts["rows"], facts["confidence_from"]) == (120, {"votes": len(gold)})
    mistakes = Counter((a, b) for a, b in zip(gold, said, strict=True) if a != b)
    assert found["confusions"][0][2] == mistakes.most_common(1)[0][1]
    assert all(mistakes[a, b] == count for a, b, count in found["confusions"])
    (model,) = facts["models"]
    alone = [vote["value"] == truth_of[vote["example_id"]] for vote in votes if vote["status"] == "ok"]
    assert (model["votes"], model["status"]) == (360, dict(Counter(vote["status"] for vote in votes)))
    assert model["accuracy"]["value"] == pytest.approx(np.mean(alone))
    assert (model["tokens_in"], model["tokens_out"]) == (360 * 20, 360 * 5)
    # The bootstrap's interval is about the normal one, at this number of rows.
    spread = 1.96 * (right.mean() * (1 - right.mean()) / len(right)) ** 0.5
    assert found["accuracy"]["high"] - found["accuracy"]["low"] == pytest.approx(2 * spread, rel=0.25)

    page = step.documents()["labels.html"]
    assert f"{100 * right.mean():.1f}\u00a0%" in page
    assert f"{cohen_kappa_score(gold, said):.3f}" in page
    assert not any(len(text) > 25 and text in page for text in truth)
    assert not re.search(r"<script|https?://", page)


def test_a_small_model_scores_real_messages(real_data, labelled, tmp_path):
    """Probabilities of a local model on real texts; its accuracy is what counting says."""
    table = table_of(real_data, "sms").slice(0, 40)
    context = StepContext(private=tmp_path / "run" / "private", labels={"data": ("ham", "spam")})
    weights = real_data / "weights" / "stories260K" / "hf"
    _, step = labelled(table, context, use="classify", models=[{"local": str(weights)}], gold="label")
    folder = LabelFolder.of(tmp_path / "run")
    kept, votes = folder.read(), folder.votes().to_pylist()
    right = [
        vote["value"] == gold
        for vote, gold in zip(votes, kept.results["gold"].to_pylist(), strict=True)
        if vote["status"] == "ok"
    ]
    assert len(right) > 30
    assert kept.facts["gold"]["accuracy"]["value"] == pytest.approx(sum(right) / len(right))
    for vote in votes:
        if vote["status"] == "ok":
            assert sum(json.loads(vote["probabilities"]).values()) == pytest.approx(1)
    assert step.spending.calls == 0
