"""Whether somebody liked a thing. The verdict turns on negation, so no single word tells it.

Held out are pairs of thing and adjective.
"""

from __future__ import annotations

import random

from datakit.pocket.items import Item
from datakit.pocket.world import BAD, GOOD, NAMES, PLACES, THINGS

__all__ = ["candidate"]

_PLAIN = (
    "{name} found the {what} very {word}.",
    "The {what} was {word} as ever, said {name}.",
    "{name} said that the {what} was really {word}.",
    "How {word} the {what} was, said {name}.",
)
_NEGATED = (
    "{name} did not find the {what} {word}.",
    "The {what} was never {word}, said {name}.",
    "{name} said that the {what} was far from {word}.",
    "Nobody could call the {what} {word}, said {name}.",
)
# At one half, neither adjective nor negation alone would say anything, and a small model would learn neither.
_NEGATED_SHARE = 0.35
_QUESTION = "Question: was this good or bad? Answer:"


def candidate(rng: random.Random) -> Item:
    """One sentence, plain or negated, with a praising or a blaming adjective, and the question."""
    negated = rng.random() < _NEGATED_SHARE
    praising = rng.random() < 0.5
    what = rng.choice(THINGS + PLACES)
    word = rng.choice(GOOD if praising else BAD)
    sentence = rng.choice(_NEGATED if negated else _PLAIN).format(name=rng.choice(NAMES), what=what, word=word)
    return Item(
        prompt=f"{sentence} {_QUESTION}",
        answer="good" if praising != negated else "bad",
        choices=("good", "bad"),
        combinations=(("sentiment", what, word),),
    )
