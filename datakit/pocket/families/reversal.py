"""Words read backwards. Held out are sets of three words."""

from __future__ import annotations

import random

from datakit.pocket.items import Item
from datakit.pocket.world import COLOURS, QUEUES, ROLES, THINGS

__all__ = ["candidate"]

_WORDS = (*THINGS, *COLOURS, *ROLES, *QUEUES)


def candidate(rng: random.Random) -> Item:
    """Three words, and four orders of them to choose from."""
    words = rng.sample(_WORDS, 3)
    one, two, three = words
    right = f"{three} {two} {one}"
    wrong = [
        f"{first} {second} {third}"
        for first, second, third in (
            (one, two, three),
            (one, three, two),
            (two, one, three),
            (two, three, one),
            (three, one, two),
        )
    ]
    choices = [right, *rng.sample(wrong, 3)]
    rng.shuffle(choices)
    return Item(
        prompt=f"Words: {one} {two} {three}. Now read them backwards:",
        answer=right,
        choices=tuple(choices),
        combinations=(("reversal", *sorted(words)),),
    )
