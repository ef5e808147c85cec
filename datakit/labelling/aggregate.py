"""From several votes about an example to one label with a confidence."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from datakit.core.errors import DatakitError
from datakit.labelling.dawid_skene import dawid_skene
from datakit.labelling.labeller import Labeller
from datakit.labelling.votes import RESULT_SCHEMA

__all__ = ["Method", "aggregate", "confidence_from"]

Method = Literal["majority", "dawid_skene"]

_WHOLE = ("classify", "preference", "rating")


def aggregate(votes: pa.Table, labeller: Labeller, ids: Sequence[str], *, method: Method = "majority") -> pa.Table:
    """One row per example.

    ``majority`` takes the commonest usable vote; a tie goes to the higher probability, then to the option that the
    labeller names first. Confidence is the mean probability of the label over all votes: 0 of those that could not be
    used, and 1 or 0 of those that have no probabilities, so that without any it is the label's share of the votes. For
    ``multilabel`` and ``spans`` every part is decided by more than half of the usable votes, and the least agreed part
    is the confidence.

    Args:
        votes: Of :data:`VOTES_SCHEMA`.
        labeller: Whose votes.
        ids: Examples in the order of the result; those without a vote have the status ``empty``.
        method: ``dawid_skene`` weighs voters by how they err; for one option of several only.

    Raises:
        DatakitError: ``dawid_skene`` for a kind that it is not made for.
    """
    if method == "dawid_skene" and labeller.kind not in _WHOLE:
        raise DatakitError(
            f"dawid_skene decides between options, not for a labeller of kind '{labeller.kind}'",
            hint="Write aggregate: majority",
        )
    by_example: dict[str, list[dict[str, Any]]] = {id: [] for id in ids}
    names = ["example_id", "model", "status", "value", "probabilities"]
    for row in votes.select(names).to_pylist():
        by_example[row["example_id"]].append(row)
    decide = _part_by_part if labeller.kind in ("multilabel", "spans") else _whole
    rows = [decide(labeller, id, asked) for id, asked in by_example.items()]
    if method == "dawid_skene":
        _weigh(rows, by_example, labeller)
    return pa.Table.from_pylist(rows, schema=RESULT_SCHEMA)


def confidence_from(votes: pa.Table, *, method: Method) -> dict[str, int]:
    """Where confidences come from, to the rows whose does.

    ``probabilities`` of all usable votes, ``votes`` (their share), ``both``, or ``dawid_skene`` (its posterior).
    """
    kinds: dict[str, set[bool]] = {}
    for row in votes.select(["example_id", "status", "probabilities"]).to_pylist():
        if row["status"] == "ok":
            kinds.setdefault(row["example_id"], set()).add(row["probabilities"] is not None)
    if method == "dawid_skene":
        return {"dawid_skene": len(kinds)} if kinds else {}
    names = {frozenset({True}): "probabilities", frozenset({False}): "votes"}
    return dict(Counter(names.get(frozenset(found), "both") for found in kinds.values()))


def _row(id: str, asked: Sequence[Mapping[str, Any]], usable: int) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(RESULT_SCHEMA.names)
    row |= {"example_id": id, "votes": usable, "asked": len(asked), "status": "ok"}
    if not usable:
        row["status"] = Counter(vote["status"] for vote in asked).most_common(1)[0][0] if asked else "empty"
    return row


def _whole(labeller: Labeller, id: str, asked: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    usable = [vote for vote in asked if vote["status"] == "ok"]
    row = _row(id, asked, len(usable))
    if not usable:
        return row
    counts = Counter(vote["value"] for vote in usable)
    order = {name: number for number, name in enumerate(labeller.votes or counts)}
    chances = _mean_probabilities(usable, order)
    label = max(counts, key=lambda name: (counts[name], chances.get(name, 0.0), -order.get(name, 0)))
    share = counts[label] / len(asked)
    row |= {
        "label": label,
        "agreement": share,
        "raw_confidence": chances[label] * len(usable) / len(asked) if chances else share,
        "distribution": _shares(chances or {name: count / len(usable) for name, count in counts.items()}),
    }
    return {**row, "confidence": row["raw_confidence"]}


def _mean_probabilities(usable: Sequence[Mapping[str, Any]], order: Mapping[str, int]) -> dict[str, float]:
    """Over all usable votes; one without probabilities is wholly for what it says. Nothing where none has any."""
    if not any(vote["probabilities"] for vote in usable):
        return {}
    known = [json.loads(vote["probabilities"]) if vote["probabilities"] else {vote["value"]: 1.0} for vote in usable]
    return {name: sum(one.get(name, 0.0) for one in known) / len(known) for name in order}


def _shares(values: Mapping[str, float]) -> str:
    return json.dumps({name: round(value, 6) for name, value in values.items()}, ensure_ascii=False)


def _part_by_part(labeller: Labeller, id: str, asked: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    usable = [vote for vote in asked if vote["status"] == "ok"]
    row = _row(id, asked, len(usable))
    if not usable:
        return row
    sets = [[json.dumps(part, ensure_ascii=False) for part in json.loads(vote["value"])] for vote in usable]
    counts = Counter(part for parts in sets for part in set(parts))
    shares = {part: count / len(usable) for part, count in counts.items()}
    chosen = sorted((json.loads(part) for part in counts if shares[part] > 0.5), key=_order(labeller))
    label = json.dumps(chosen, ensure_ascii=False)
    worst = min((max(share, 1 - share) for share in shares.values()), default=1.0) * len(usable) / len(asked)
    row |= {
        "label": label,
        "agreement": sum(vote["value"] == label for vote in usable) / len(asked),
        "raw_confidence": worst,
        "distribution": _shares(shares),
    }
    return {**row, "confidence": worst}


def _order(labeller: Labeller) -> Any:
    return labeller.names.index if labeller.kind == "multilabel" else tuple


def _weigh(
    rows: list[dict[str, Any]], by_example: Mapping[str, Sequence[Mapping[str, Any]]], labeller: Labeller
) -> None:
    """Labels and confidences by Dawid and Skene; several votes of one model are one voter's."""
    classes = {name: number for number, name in enumerate(labeller.votes)}
    voters = {
        name: number for number, name in enumerate(sorted({v["model"] for vs in by_example.values() for v in vs}))
    }
    counts = np.zeros((len(voters), len(rows), len(classes)), np.int64)
    for number, asked in enumerate(by_example.values()):
        for vote in asked:
            if vote["status"] == "ok":
                counts[voters[vote["model"]], number, classes[vote["value"]]] += 1
    if not len(voters) or not counts.any():
        return
    posterior = dawid_skene(counts).posterior
    names = list(classes)
    for row, chances, said in zip(rows, posterior, counts.sum(axis=0), strict=True):
        if row["status"] != "ok":
            continue
        best = int(chances.argmax())
        row["label"] = names[best]
        row["agreement"] = int(said[best]) / row["asked"]
        row["confidence"] = row["raw_confidence"] = float(chances[best])
        row["distribution"] = _shares(dict(zip(names, map(float, chances), strict=True)))
