"""How good labels are: against people where there is gold, between votes, and by their confidence."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from datakit.labelling import agreement as agree
from datakit.labelling import calibrate as cal
from datakit.labelling.labeller import Labeller
from datakit.labelling.suspicious import suspicious

__all__ = ["TARGET", "calibrate_results", "measure"]

#: Accuracy that the suggested threshold must surely reach.
TARGET = 0.95

_DRAWS = 400
_MAX_POINTS = 200


def calibrate_results(results: pa.Table, *, method: cal.Method, seed: int) -> tuple[pa.Table, dict[str, Any] | None]:
    """Replaces ``confidence`` by its calibrated value, where the gold sample allows it.

    Returns:
        The results, and what was done: method, and the gold sample's confidences from fits on other rows.
    """
    gold, said = results["gold"].to_pylist(), results["label"].to_pylist()
    raw = results["raw_confidence"].to_pylist()
    sample = [
        at for at, (one, other) in enumerate(zip(gold, said, strict=True)) if one is not None and other is not None
    ]
    right = np.array([gold[at] == said[at] for at in sample], bool)
    there = [at for at, value in enumerate(raw) if value is not None]
    made = cal.calibrated(
        np.array([raw[at] for at in sample], float), right, np.array([raw[at] for at in there], float),
        method=method, seed=seed,
    )  # fmt: skip
    if made is None:
        return results, None
    everywhere, honest, used = made
    new: list[float | None] = [None] * len(raw)
    for at, value in zip(there, everywhere, strict=True):
        new[at] = float(value)
    place = results.column_names.index("confidence")
    column = pa.array(new, pa.float64())
    return results.set_column(place, "confidence", column), {"method": used, "honest": honest.tolist()}


def measure(
    votes: pa.Table,
    results: pa.Table,
    labeller: Labeller,
    *,
    calibration: Mapping[str, Any] | None = None,
    existing: Sequence[str | None] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that the report says of the labels, as JSON can hold it; without any row's text.

    Args:
        votes: Of all models.
        results: With gold filled in.
        labeller: Whose.
        calibration: From :func:`calibrate_results`.
        existing: Labels that were there before, to be checked.
        seed: Of the bootstrap.
    """
    rows = results.to_pylist()
    sample = [row for row in rows if row["gold"] is not None and row["label"] is not None]
    facts: dict[str, Any] = {
        "rows": len(rows),
        "status": dict(Counter(row["status"] for row in rows)),
        "labels": _labels(rows, labeller),
        "votes": dict(Counter(votes["status"].to_pylist())),
        "confidence": np.histogram([row["confidence"] for row in rows if row["confidence"] is not None], 20, (0, 1))[
            0
        ].tolist(),
        "gold": {"rows": sum(row["gold"] is not None for row in rows), "labelled": len(sample)},
        "models": _models(votes, rows, seed),
        "between_votes": asdict(_alpha_of_votes(votes, labeller, seed)),
    }
    if sample:
        facts["gold"] |= _against_gold(sample, labeller, seed)
        facts |= _by_confidence(sample, calibration)
    if existing is not None and labeller.kind == "classify":
        facts["suspicious"] = [asdict(one) for one in suspicious(results, existing, labeller.names)]
        facts["checked"] = sum(label is not None for label in existing)
    return facts


def _labels(rows: Sequence[Mapping[str, Any]], labeller: Labeller) -> dict[str, int]:
    """How often each option was given; of free answers only their number."""
    if labeller.kind == "answer":
        return {}
    counts: Counter[str] = Counter(dict.fromkeys(labeller.votes, 0))
    for row in rows:
        if row["label"] is None:
            continue
        if labeller.kind in ("multilabel", "spans"):
            counts.update({part if isinstance(part, str) else part[2] for part in json.loads(row["label"])})
        else:
            counts[row["label"]] += 1
    return dict(counts)


def _codes(*columns: Sequence[str | None]) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    names: dict[str | None, int] = {}
    return [np.array([names.setdefault(value, len(names)) for value in column], np.int64) for column in columns]


def _against_gold(sample: Sequence[Mapping[str, Any]], labeller: Labeller, seed: int) -> dict[str, Any]:
    gold, said = [row["gold"] for row in sample], [row["label"] for row in sample]
    one, other = _codes(gold, said)
    classes = int(max(one.max(), other.max())) + 1
    n = len(sample)
    found = {
        "accuracy": agree.bootstrap(n, lambda at: agree.accuracy(one[at], other[at]), draws=_DRAWS, seed=seed),
        "kappa": agree.bootstrap(n, lambda at: agree.cohen_kappa(one[at], other[at], classes), draws=_DRAWS, seed=seed),
    }
    level = _level(labeller)
    order = {name: number for number, name in enumerate(labeller.votes)} if level != "nominal" else {}
    both = np.stack([_numbers(gold, order), _numbers(said, order)], 1) if order else np.stack([one, other], 1)
    width = len(order) or classes
    found["alpha"] = agree.alpha_figure(_counts(both, width), level=level, draws=_DRAWS, seed=seed)
    if labeller.kind in ("multilabel", "spans"):
        sets = [[frozenset(map(json.dumps, json.loads(value))) for value in side] for side in (gold, said)]
        found["f1"] = agree.bootstrap(
            n, lambda at: agree.set_f1([sets[0][k] for k in at], [sets[1][k] for k in at]), draws=_DRAWS, seed=seed
        )
    if labeller.kind == "rating":
        gap = np.abs(np.array(gold, float) - np.array(said, float))
        found["distance"] = agree.bootstrap(n, lambda at: float(gap[at].mean()), draws=_DRAWS, seed=seed)
    confused = Counter((a, b) for a, b in zip(gold, said, strict=True) if a != b)
    named = labeller.kind in ("classify", "preference", "rating")
    pairs = [[a, b, count] for (a, b), count in confused.most_common(20)] if named else []
    return {**{name: asdict(figure) for name, figure in found.items()}, "confusions": pairs}


def _level(labeller: Labeller) -> agree.Level:
    return "ordinal" if labeller.kind == "rating" else "nominal"


def _numbers(values: Sequence[str], order: Mapping[str, int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([order[value] for value in values], np.int64)


def _counts(codes: Any, classes: int) -> Any:
    counts = np.zeros((len(codes), classes), np.int64)
    for column in range(codes.shape[1]):
        np.add.at(counts, (np.arange(len(codes)), codes[:, column]), 1)
    return counts


def _alpha_of_votes(votes: pa.Table, labeller: Labeller, seed: int) -> agree.Figure:
    """Krippendorff's alpha between all usable votes."""
    usable = votes.filter(pa.compute.equal(votes["status"], "ok"))
    ids, values = usable["example_id"].to_pylist(), usable["value"].to_pylist()
    if len(ids) < 2 or len(set(ids)) == len(ids):
        return agree.Figure(None, None, None, 0)
    level = _level(labeller)
    rows = dict.fromkeys(ids)
    order = {name: number for number, name in enumerate(labeller.votes or dict.fromkeys(values))}
    if not labeller.votes or labeller.kind in ("multilabel", "spans"):
        order = {name: number for number, name in enumerate(dict.fromkeys(values))}
    if len(rows) * len(order) > 5_000_000:
        return agree.Figure(None, None, None, len(rows))  # free answers hardly ever agree to the letter
    place = {id: number for number, id in enumerate(rows)}
    counts = np.zeros((len(rows), len(order)), np.int64)
    np.add.at(counts, ([place[id] for id in ids], [order[value] for value in values]), 1)
    return agree.alpha_figure(counts[counts.sum(1) > 1], level=level, draws=_DRAWS, seed=seed)


def _accuracy(right: Mapping[str, list[bool]], seed: int) -> agree.Figure:
    """Share of right votes; drawn by rows, since several votes about one row are no several rows."""
    if not right:
        return agree.Figure(None, None, None, 0)
    good = np.array([sum(votes) for votes in right.values()], float)
    count = np.array([len(votes) for votes in right.values()], float)
    return agree.bootstrap(len(right), lambda at: float(good[at].sum() / count[at].sum()), draws=_DRAWS, seed=seed)


def _models(votes: pa.Table, rows: Sequence[Mapping[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Each model alone: its votes, what they cost, and its accuracy on the gold sample."""
    gold = {row["example_id"]: row["gold"] for row in rows if row["gold"] is not None}
    found = []
    for name in dict.fromkeys(votes["model"].to_pylist()):
        own = votes.filter(pa.compute.equal(votes["model"], name))
        right: dict[str, list[bool]] = {}
        for vote in own.select(["example_id", "value", "status"]).to_pylist():
            if vote["example_id"] in gold and vote["status"] == "ok":
                right.setdefault(vote["example_id"], []).append(vote["value"] == gold[vote["example_id"]])
        figure = _accuracy(right, seed)
        total = {key: sum(value or 0 for value in own[key].to_pylist()) for key in ("tokens_in", "tokens_out", "cost")}
        statuses = dict(Counter(own["status"].to_pylist()))
        found.append({"name": name, "votes": own.num_rows, "status": statuses, **total, "accuracy": asdict(figure)})
    return found


def _by_confidence(sample: Sequence[Mapping[str, Any]], calibration: Mapping[str, Any] | None) -> dict[str, Any]:
    right = np.array([row["gold"] == row["label"] for row in sample], bool)
    raw = np.array([row["raw_confidence"] for row in sample], float)
    honest = raw if calibration is None else np.array(calibration["honest"], float)
    points = cal.coverage(honest, right)
    best = cal.suggested_threshold(points, accuracy=TARGET)
    every = max(1, len(points) // _MAX_POINTS)
    kept = [point for number, point in enumerate(points) if number % every == 0 or number == len(points) - 1]
    return {
        "calibration": None if calibration is None else calibration["method"],
        "ece": {"raw": cal.ece(raw, right), "calibrated": None if calibration is None else cal.ece(honest, right)},
        "reliability": {
            "raw": [asdict(one) for one in cal.reliability(raw, right)],
            "calibrated": [] if calibration is None else [asdict(one) for one in cal.reliability(honest, right)],
        },
        "coverage": [asdict(point) for point in kept],
        "threshold": None if best is None else asdict(best),
    }
