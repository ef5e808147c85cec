"""Heuristics of published web corpora for plain text: Gopher's, C4's and FineWeb's.

They were made for web pages. A question, a label or an instruction breaks most of them and is still good data, so by
default only rows of plain text are looked at: no conversation, no label.

Sources of the rules and every threshold:

* ``gopher``: Rae et al. 2021, arXiv 2112.11446, appendix A1.1 "Quality Filtering".
* ``gopher_repetition``: the same, "Repetition Removal", table A1; a line, paragraph or n-gram counts as duplicate
  from its second occurrence on.
* ``c4``: Raffel et al. 2020, arXiv 1910.10683, section 2.2; whole rows go, single lines are never cut out.
* ``fineweb``: Penedo et al. 2024, arXiv 2406.17557, section 3.6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, ClassVar, Literal, NamedTuple

import pyarrow as pa
from pydantic import Field

from datakit.core import step as core
from datakit.core.step import StepContext, StepOutput
from datakit.filters.columns import drop_rows, view
from datakit.filters.lines import Pieces, duplicate_shares, repeated_ngram_share, split_pieces, top_ngram_share

__all__ = ["RULES", "QualityParams", "QualityStep", "Rule"]

RuleSet = Literal["gopher", "gopher_repetition", "c4", "fineweb"]

_BATCH = 2000
_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
_TERMINAL = r"""[.!?…。？！"'”’][\s]*$"""


class _Measured:
    """What the rules ask of many texts; each is computed once, on demand."""

    def __init__(self, texts: pa.Array) -> None:
        import pyarrow.compute as pc

        self.texts = pc.fill_null(texts, "")
        self.sizes = pc.utf8_length(self.texts).to_numpy(zero_copy_only=False)

    def count(self, pattern: str) -> Any:
        import pyarrow.compute as pc

        return pc.count_substring_regex(self.texts, pattern).to_numpy(zero_copy_only=False)

    @cached_property
    def words(self) -> Pieces:
        return split_pieces(self.texts, r"[\s\p{Z}]+")

    @cached_property
    def lines(self) -> Pieces:
        return split_pieces(self.texts, r"\n")

    @cached_property
    def paragraphs(self) -> Pieces:
        return split_pieces(self.texts, r"\n\s*\n")

    def share(self, pieces: Pieces, mask: Any) -> Any:
        import numpy as np

        return pieces.per_text(mask) / np.maximum(pieces.per_text(), 1)

    def word_count(self) -> Any:
        return self.words.per_text()

    def mean_word(self) -> Any:
        import numpy as np

        return self.words.per_text(self.words.lengths) / np.maximum(self.words.per_text(), 1)

    def symbols(self) -> Any:
        import numpy as np

        return (self.count("#") + self.count(r"\.\.\.|…")) / np.maximum(self.words.per_text(), 1)

    def stop_words(self) -> Any:
        """How many of the eight different words occur."""
        return sum(self.count(rf"(?i)\b{word}\b") > 0 for word in _STOP_WORDS)

    def fineweb_repeated(self) -> Any:
        return duplicate_shares(self.lines)[1]


class Rule(NamedTuple):
    """One heuristic.

    Attributes:
        reason: Slug in the ledger.
        measure: Of :class:`_Measured`, one number per text.
        low, high: The text stays within; None is no bound.
    """

    reason: str
    measure: Callable[[_Measured], Any]
    low: float | None = None
    high: float | None = None


RULES: Mapping[str, tuple[Rule, ...]] = {
    "gopher": (
        Rule("gopher_words", _Measured.word_count, low=50, high=100_000),
        Rule("gopher_mean_word", _Measured.mean_word, low=3, high=10),
        Rule("gopher_symbols", _Measured.symbols, high=0.1),
        Rule("gopher_bullets", lambda m: m.share(m.lines, m.lines.matching(r"^[•‣▪●*-]")), high=0.9),
        Rule("gopher_ellipsis", lambda m: m.share(m.lines, m.lines.matching(r"(\.\.\.|…)$")), high=0.3),
        Rule("gopher_alphabetic", lambda m: m.share(m.words, m.words.matching(r"\p{L}")), low=0.8),
        Rule("gopher_stop_words", _Measured.stop_words, low=2),
    ),
    "gopher_repetition": (
        Rule("gopher_repeated_lines", lambda m: duplicate_shares(m.lines)[0], high=0.30),
        Rule("gopher_repeated_line_chars", lambda m: duplicate_shares(m.lines)[1], high=0.20),
        Rule("gopher_repeated_paragraphs", lambda m: duplicate_shares(m.paragraphs)[0], high=0.30),
        Rule("gopher_repeated_paragraph_chars", lambda m: duplicate_shares(m.paragraphs)[1], high=0.20),
        Rule("gopher_top_2_gram", lambda m: top_ngram_share(m.words, 2, m.sizes), high=0.20),
        Rule("gopher_top_3_gram", lambda m: top_ngram_share(m.words, 3, m.sizes), high=0.18),
        Rule("gopher_top_4_gram", lambda m: top_ngram_share(m.words, 4, m.sizes), high=0.16),
        Rule("gopher_repeated_5_grams", lambda m: repeated_ngram_share(m.words, 5), high=0.15),
        Rule("gopher_repeated_6_grams", lambda m: repeated_ngram_share(m.words, 6), high=0.14),
        Rule("gopher_repeated_7_grams", lambda m: repeated_ngram_share(m.words, 7), high=0.13),
        Rule("gopher_repeated_8_grams", lambda m: repeated_ngram_share(m.words, 8), high=0.12),
        Rule("gopher_repeated_9_grams", lambda m: repeated_ngram_share(m.words, 9), high=0.11),
        Rule("gopher_repeated_10_grams", lambda m: repeated_ngram_share(m.words, 10), high=0.10),
    ),
    "c4": (
        Rule("c4_lorem_ipsum", lambda m: m.count("(?i)lorem ipsum"), high=0),
        Rule("c4_curly_bracket", lambda m: m.count(r"\{"), high=0),
        Rule("c4_sentences", lambda m: m.count(r"[^.!?。？！\s][.!?。？！]+[\"'”’)]*(\s|$)"), low=3),
    ),
    "fineweb": (
        Rule("fineweb_line_ends", lambda m: m.share(m.lines, m.lines.matching(_TERMINAL)), low=0.12),
        Rule("fineweb_repeated_line_chars", _Measured.fineweb_repeated, high=0.1),
        Rule("fineweb_short_lines", lambda m: m.share(m.lines, m.lines.lengths < 30), high=0.67),
    ),
}
"""Sets of rules. The stop words are English: for other languages leave ``gopher_stop_words`` out."""


class QualityParams(core.Params):
    """Parameters of ``quality``.

    Attributes:
        use: Sets of rules.
        without: Reasons that do not count, such as ``gopher_stop_words`` for text that is not English.
        rows: ``plain`` looks at rows with text, no conversation and no label; ``all`` at everything with text.
    """

    use: tuple[RuleSet, ...] = Field(default=("gopher", "gopher_repetition"), min_length=1)
    without: tuple[str, ...] = ()
    rows: Literal["plain", "all"] = "plain"

    def rules(self) -> list[Rule]:
        """Those that hold."""
        return [rule for name in self.use for rule in RULES[name] if rule.reason not in self.without]


def _broken(params: QualityParams, texts: pa.Array) -> dict[int, tuple[str, dict[str, float]]]:
    """Position of a text to the first rule it breaks and the evidence."""
    import numpy as np

    measured = _Measured(texts)
    broken: dict[int, tuple[str, dict[str, float]]] = {}
    for rule in params.rules():
        found = np.asarray(rule.measure(measured), dtype=np.float64)
        for name, limit in (("min", rule.low), ("max", rule.high)):
            if limit is None:
                continue
            for k in np.flatnonzero(found < limit if name == "min" else found > limit).tolist():
                broken.setdefault(k, (rule.reason, {"value": round(float(found[k]), 4), name: float(limit)}))
    return broken


class QualityStep:
    """Drops plain texts that break a rule; the reason is the first one broken, with the measured value and bound."""

    name: ClassVar[str] = "quality"
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["row", "table"]] = "row"
    Params: ClassVar[type[core.Params]] = QualityParams

    def __init__(self, params: QualityParams, context: StepContext) -> None:
        from datakit.core.errors import StepError
        from datakit.core.registry import suggest

        known = [rule.reason for rules in RULES.values() for rule in rules]
        if unknown := sorted(set(params.without) - set(known)):
            raise StepError(f"quality: no rule '{unknown[0]}'", hint=suggest(unknown[0], known))
        self.params = params
        self._workers = context.workers
        self._looked = self._left = 0

    def fingerprint(self) -> str:
        """Nothing outside the parameters."""
        return ""

    def apply(self, table: pa.Table) -> StepOutput:
        """Measures all plain texts, rule by rule."""
        import numpy as np
        import pyarrow.compute as pc

        texts = view(table, "text" if self.params.rows == "plain" else "auto")
        chosen = np.asarray(texts.is_valid())
        if self.params.rows == "plain":
            for column in ("messages", "label"):
                chosen = chosen & pc.is_null(table.column(column)).to_numpy().astype(bool)
        self._looked += int(chosen.sum())
        self._left += int(table.num_rows - chosen.sum())
        place = np.flatnonzero(chosen)
        found: dict[int, tuple[str, dict[str, float]]] = {}
        batches = [place[start : start + _BATCH] for start in range(0, len(place), _BATCH)]
        measure = partial(_broken, self.params)
        for rows, broken in zip(
            batches, self._workers.map(measure, [texts.take(pa.array(rows)) for rows in batches]), strict=True
        ):
            found |= {int(rows[k]): reason for k, reason in broken.items()}
        reasons = {row: reason for row, (reason, _) in found.items()}
        return drop_rows(self.name, table, reasons, lambda row: found[row][1])

    def notes(self) -> list[str]:
        """How many rows were looked at: most data sets of instructions have none."""
        left = f"; {self._left:,} with a conversation or a label were left alone" if self._left else ""
        return [f"{self._looked:,} rows of plain text were looked at ({', '.join(self.params.use)}){left}"]
