"""Which metrics of the whole set a row shows, and which one is its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalkit.set_metrics import MEASURES, entities

if TYPE_CHECKING:
    import pyarrow as pa

    from evalkit.guard import TaskPair
    from evalkit.set_pairs import SetMetric

__all__ = ["row_metrics"]

_OF_LABELS = ("macro_f1", "mcc")
_OF_TEXT = ("token_f1", "rouge_l")


def row_metrics(
    pair: TaskPair, clusters: Sequence[str] | None, *, labelled: bool, alpha: float, seed: int
) -> tuple[SetMetric | None, tuple[SetMetric, ...]]:
    """The metric verdicts are about, where it is one of the whole set, and the further ones.

    Shown are those the task asks for, and macro-F1 of the user's own task where its targets are labels. One is left
    out where it cannot be had from the answers: labels that the score does not go by, targets that are no numbers or
    hold no entity (also because they were replaced by hashes).

    Args:
        pair: Items of both logs.
        clusters: Cluster of each item.
        labelled: Whether the targets are labels: few, and repeated.
        alpha: 1 - confidence.
        seed: Seed of the bootstrap.
    """
    from evalkit.set_pairs import set_metric

    asked = dict.fromkeys(pair.info.metrics)
    if labelled and pair.info.kind == "gain":
        asked |= {"macro_f1": None}
    own = pair.info.metric if pair.info.metric in MEASURES else None
    names = [name for name in (own, *asked) if name is not None]
    if not names:
        return None, ()
    texts = [_texts(pair.before, "target"), _texts(pair.before, "answer"), _texts(pair.after, "answer")]
    found = []
    for name in dict.fromkeys(names):
        columns = [_as_label(column) for column in texts] if name in _OF_LABELS else texts
        if name == own or _fits(name, pair, columns):
            found.append(set_metric(name, *columns, clusters=clusters, alpha=alpha, seed=seed, test=name == own))
    return (found[0], tuple(found[1:])) if own else (None, tuple(found))


def _texts(table: pa.Table, name: str) -> list[str]:
    return ["" if text is None else str(text) for text in table.column(name).to_pylist()]


def _as_label(texts: Sequence[str]) -> list[str]:
    """White space at the ends or doubled makes no other label."""
    return [" ".join(text.split()) for text in texts]


def _fits(name: str, pair: TaskPair, columns: Sequence[list[str]]) -> bool:
    targets, before, after = columns
    if name in _OF_LABELS:
        # F1 from answers that are not labels as the targets are would contradict the score.
        return all(
            [answer == target for answer, target in zip(answers, targets, strict=True)]
            == [score == 1 for score in table.column("score").to_pylist()]
            for answers, table in ((before, pair.before), (after, pair.after))
        )
    if name in _OF_TEXT:
        return all(targets)
    if name == "pearson":
        return all(_is_number(target) for target in targets)
    return any(entities(target) for target in targets)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
