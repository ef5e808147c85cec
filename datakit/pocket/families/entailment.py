"""What follows for one thing from a sentence about all of them or none. Held out are pairs of thing and colour."""

from __future__ import annotations

import random

from datakit.pocket.items import Item
from datakit.pocket.world import COLOURS, PLACES, THINGS

__all__ = ["candidate"]

_ALL = ("Every {thing} in the {place} is {colour}.", "All that is called {thing} in the {place} is {colour}.")
_NONE = ("No {thing} in the {place} is {colour}.", "Nothing that is called {thing} in the {place} is {colour}.")
_QUESTIONS = (
    "Question: is it true that this {thing} is {colour}? Answer:",
    "Question: is it true that this {thing} is not {colour}? Answer:",
)
# Below one half: at one half neither sentence alone would say anything, and a small model would learn neither.
_NEGATED_SHARE = 0.45


def candidate(rng: random.Random) -> Item:
    """A premise with or without negation, and a conclusion with or without it; they agree or they do not."""
    none = rng.random() < _NEGATED_SHARE
    negated = rng.random() < 0.5
    words = {"thing": rng.choice(THINGS), "place": rng.choice(PLACES), "colour": rng.choice(COLOURS)}
    premise = rng.choice(_NONE if none else _ALL).format(**words)
    return Item(
        prompt=f"{premise} {_QUESTIONS[negated].format(**words)}",
        answer="yes" if none == negated else "no",
        choices=("yes", "no"),
        combinations=(("entailment", words["thing"], words["colour"]),),
    )
