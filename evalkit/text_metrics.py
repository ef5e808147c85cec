"""Overlap of an open answer with the right one: token F1 (SQuAD) and ROUGE-L, in English and Korean."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["RougeL", "TokenF1", "rouge_l", "token_f1", "tokens"]

Answers = Sequence[str | None]

_ARTICLES = frozenset({"a", "an", "the"})
# A Hangul syllable or an ideograph is a token of its own: a particle at a word's end must not make all of it wrong.
_ALONE = r"[\uac00-\ud7a3\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]"
_TOKEN = re.compile(rf"{_ALONE}|(?:(?!{_ALONE})[^\W_])+")


def tokens(text: str | None) -> list[str]:
    """Lower-case words without punctuation and, as SQuAD does, English articles; syllables in Hangul, as KorQuAD.

    Source: the evaluation scripts of SQuAD 1.1 (Rajpurkar et al. 2016) and KorQuAD 1.0 (Lim et al. 2019).
    """
    plain = unicodedata.normalize("NFC", text or "").lower()
    return [token for token in _TOKEN.findall(plain) if token not in _ARTICLES]


def token_f1(answer: str | None, target: str) -> float:
    """F1 of the multisets of tokens; two texts without any token are equal."""
    given, gold = tokens(answer), tokens(target)
    if not given or not gold:
        return float(given == gold)
    common = sum((Counter(given) & Counter(gold)).values())
    return 2 * common / (len(given) + len(gold))


def rouge_l(answer: str | None, target: str) -> float:
    """F-measure of the longest common subsequence of tokens, by the library rouge-score (Lin 2004).

    Raises:
        MissingDependency: rouge-score is not installed.
    """
    return _rouge()(answer, target)


def _rouge() -> Callable[[str | None, str], float]:
    from datakit.core.require import require

    scorers = require("rouge_score.rouge_scorer", extra="eval")
    scorer = scorers.RougeScorer(["rougeL"], tokenizer=_Words())

    def score(answer: str | None, target: str) -> float:
        if not tokens(answer) and not tokens(target):
            return 1.0
        return float(scorer.score(target, answer or "")["rougeL"].fmeasure)

    return score


class _Words:
    """Tokens for rouge-score, whose own tokenizer drops every letter that is not ASCII."""

    def tokenize(self, text: str) -> list[str]:
        """Tokens of a text."""
        return tokens(text)


class TokenF1:
    """Mean of :func:`token_f1` over the items."""

    span = 1.0

    def __init__(self, targets: Sequence[str], answers: Sequence[Answers]) -> None:
        self.targets = [str(target) for target in targets]

    def features(self, answers: Answers) -> Floats:
        """Score of each item, and 1 for its number."""
        return _scores(token_f1, answers, self.targets)

    def value(self, totals: Floats) -> Floats:
        """Sum of the scores over the number of items."""
        return _mean(totals)

    def alternatives(self) -> list[Answers]:
        """All right, and none."""
        return [list(self.targets), [None] * len(self.targets)]


class RougeL:
    """Mean of :func:`rouge_l` over the items."""

    span = 1.0

    def __init__(self, targets: Sequence[str], answers: Sequence[Answers]) -> None:
        self.targets = [str(target) for target in targets]

    def features(self, answers: Answers) -> Floats:
        """Score of each item, and 1 for its number."""
        return _scores(_rouge(), answers, self.targets)

    def value(self, totals: Floats) -> Floats:
        """Sum of the scores over the number of items."""
        return _mean(totals)

    def alternatives(self) -> list[Answers]:
        """All right, and none."""
        return [list(self.targets), [None] * len(self.targets)]


def _scores(score: Callable[[str | None, str], float], answers: Answers, targets: Sequence[str]) -> Floats:
    import numpy as np

    values = [score(answer, target) for answer, target in zip(answers, targets, strict=True)]
    return np.column_stack([np.array(values, dtype=np.float64), np.ones(len(values))])


def _mean(totals: Floats) -> Floats:
    import numpy as np

    value: Floats = np.divide(totals[:, 0], totals[:, 1], out=np.zeros(len(totals)), where=totals[:, 1] > 0)
    return value
