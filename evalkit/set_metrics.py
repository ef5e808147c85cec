"""Metrics that are no mean over items (macro-F1, entity F1, MCC, Pearson), as functions of totals that items add to.

Resampling items is then weighting their contributions; ``set_pairs`` compares two models with them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from evalkit.errors import EvalError
from evalkit.text_metrics import RougeL, TokenF1

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["MEASURES", "EntityF1", "MacroF1", "Mcc", "Measure", "Pearson", "entities"]

Answers = Sequence[str | None]
MAX_ALTERNATIVES = 20


class Measure(Protocol):
    """One metric on fixed targets.

    Attributes:
        span: The largest possible difference of two values.
    """

    span: float

    def __init__(self, targets: Sequence[str], answers: Sequence[Answers]) -> None:
        """Takes the targets, and all columns of answers that will be asked about (their labels may matter)."""

    def features(self, answers: Answers) -> Floats:
        """What each item adds to the totals, shape (items, k)."""
        ...

    def value(self, totals: Floats) -> Floats:
        """Values of shape (m,) from totals of shape (m, k)."""
        ...

    def alternatives(self) -> list[Answers]:
        """Other answers every item could have had; bounds what one item may change."""
        ...


def _plain(answer: str | None) -> str:
    return "" if answer is None else str(answer)


class MacroF1:
    """Mean over the gold labels of F1; an answer that is no label is wrong for the label it should have been.

    The labels are those of the targets (scikit-learn's ``f1_score(labels=sorted(set(targets)), average="macro",
    zero_division=0)``); they stay the same in every resample.
    """

    span = 1.0

    def __init__(self, targets: Sequence[str], answers: Sequence[Answers]) -> None:
        import numpy as np

        self.labels, gold = np.unique(np.asarray(targets, dtype=object).astype(str), return_inverse=True)
        self.gold = np.eye(len(self.labels))[gold]

    def features(self, answers: Answers) -> Floats:
        """Support, hits and answers of each label."""
        import numpy as np

        index = {label: position for position, label in enumerate(self.labels)}
        padded = np.vstack([np.eye(len(self.labels)), np.zeros(len(self.labels))])
        given = padded[[index.get(_plain(answer), len(self.labels)) for answer in answers]]
        return np.hstack([self.gold, given * self.gold, given])

    def value(self, totals: Floats) -> Floats:
        """Mean of 2 hits / (support + answers)."""
        import numpy as np

        support, hits, given = np.split(totals, 3, axis=1)
        whole = given + support
        value: Floats = np.divide(2 * hits, whole, out=np.zeros_like(hits), where=whole > 0).mean(axis=1)
        return value

    def alternatives(self) -> list[Answers]:
        """Each label for everything, and none."""
        count = len(self.gold)
        return [[None] * count, *([str(label)] * count for label in self.labels[:MAX_ALTERNATIVES])]


class Mcc:
    """Matthews' correlation coefficient, for any number of classes (Gorodkin 2004); 0 where it is undefined."""

    span = 2.0

    def __init__(self, targets: Sequence[str], answers: Sequence[Answers]) -> None:
        import numpy as np

        self.targets = [str(target) for target in targets]
        labels = sorted({*self.targets, *(_plain(answer) for column in answers for answer in column)})
        self.index, self.one_hot = {label: at for at, label in enumerate(labels)}, np.eye(len(labels))
        self.gold = self.one_hot[[self.index[target] for target in self.targets]]

    def features(self, answers: Answers) -> Floats:
        """Support, answers of each label, and whether it is a hit."""
        import numpy as np

        given = self.one_hot[[self.index[_plain(answer)] for answer in answers]]
        return np.hstack([self.gold, given, np.sum(self.gold * given, axis=1, keepdims=True)])

    def value(self, totals: Floats) -> Floats:
        """Covariance of the two labellings over the root of their variances."""
        import numpy as np

        k = len(self.index)
        support, given, hits = totals[:, :k], totals[:, k : 2 * k], totals[:, -1]
        n = support.sum(axis=1)
        top = hits * n - np.sum(support * given, axis=1)
        below = np.sqrt((n**2 - np.sum(given**2, axis=1)) * (n**2 - np.sum(support**2, axis=1)))
        result: Floats = np.divide(top, below, out=np.zeros_like(top), where=below > 0)
        return result

    def alternatives(self) -> list[Answers]:
        """Each label for everything."""
        return [[label] * len(self.targets) for label in list(self.index)[:MAX_ALTERNATIVES]]


class Pearson:
    """Pearson's correlation with numeric targets; 0 where a column is constant.

    An answer that is no number says nothing: it counts as the mean of the targets.

    Raises:
        EvalError: A target that is no number.
    """

    span = 2.0

    def __init__(self, targets: Sequence[str], answers: Sequence[Answers]) -> None:
        import numpy as np

        values = [_float(target) for target in targets]
        if None in values:
            raise EvalError(f"target {targets[values.index(None)]!r} is no number; Pearson's correlation needs numbers")
        raw = np.array(values, np.float64)
        self.mean = float(raw.mean())
        self.ends = (float(raw.min()), float(raw.max()))
        self.targets = raw - self.mean

    def features(self, answers: Answers) -> Floats:
        """1, t, t^2, x, x^2, x t of each item, centred on the mean of the targets."""
        import numpy as np

        found = [_float(answer) for answer in answers]
        x = np.array([0.0 if value is None else value - self.mean for value in found])
        t = self.targets
        return np.column_stack([np.ones_like(t), t, t * t, x, x * x, x * t])

    def value(self, totals: Floats) -> Floats:
        """Covariance over the root of the variances."""
        import numpy as np

        n, st, stt, sx, sxx, sxt = totals.T
        variances = np.maximum(n * sxx - sx**2, 0) * np.maximum(n * stt - st**2, 0)
        below, top = np.sqrt(variances), n * sxt - sx * st
        tiny = 1e-12 * np.maximum(1.0, np.abs(n * sxx) * np.abs(n * stt)) ** 0.5
        value: Floats = np.divide(top, below, out=np.zeros_like(top), where=below > tiny)
        return value

    def alternatives(self) -> list[Answers]:
        """The smallest and the largest target for everything."""
        return [[repr(end)] * len(self.targets) for end in self.ends]


def _float(value: object) -> float | None:
    import math

    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def entities(text: str | None) -> Counter[tuple[str, str]]:
    """Entities of an answer as (kind, text), white space collapsed.

    Understood are a JSON object ``{"PER": ["Ada"], "LOC": "Rome"}``, a JSON list of ``[kind, text]``, and lines or
    ``;``-separated parts ``kind: text, text``. What is none of these is left out.
    """
    raw = (text or "").strip()
    found: Counter[tuple[str, str]] = Counter()

    def add(kind: object, value: object) -> None:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str) and one.strip():
                found[(str(kind).strip(), " ".join(one.split()))] += 1

    if raw[:1] in ("{", "["):
        try:
            parsed = json.loads(raw)
        except ValueError:
            return found
        pairs = parsed.items() if isinstance(parsed, dict) else [pair for pair in parsed if _is_pair(pair)]
        for kind, value in pairs:
            add(kind, value)
        return found
    for part in re.split(r"[;\n]", raw):
        kind, colon, values = part.partition(":")
        if colon:
            add(kind, values.split(","))
    return found


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2


class EntityF1:
    """F1 of entities found (kind and text both right), summed over all items; 0 where there is none at all."""

    span = 1.0

    def __init__(self, targets: Sequence[str], answers: Sequence[Answers]) -> None:
        self.texts = list(targets)
        self.targets = [entities(target) for target in targets]

    def features(self, answers: Answers) -> Floats:
        """Right, given and gold entities of each item."""
        import numpy as np

        rows = []
        for target, answer in zip(self.targets, answers, strict=True):
            given = entities(answer)
            rows.append(((target & given).total(), given.total(), target.total()))
        return np.array(rows, np.float64)

    def value(self, totals: Floats) -> Floats:
        """2 right / (given + gold)."""
        import numpy as np

        whole = totals[:, 1] + totals[:, 2]
        value: Floats = np.divide(2 * totals[:, 0], whole, out=np.zeros_like(whole), where=whole > 0)
        return value

    def alternatives(self) -> list[Answers]:
        """Nothing found, everything, and what another item should have had."""
        return [[None] * len(self.texts), self.texts, self.texts[1:] + self.texts[:1]]


MEASURES: dict[str, type[Measure]] = {
    "macro_f1": MacroF1,
    "mcc": Mcc,
    "pearson": Pearson,
    "entity_f1": EntityF1,
    "token_f1": TokenF1,
    "rouge_l": RougeL,
}
