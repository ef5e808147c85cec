"""Which of two people is older, younger, heavier or lighter. Held out are unordered pairs of numbers."""

from __future__ import annotations

import random

from datakit.pocket.items import Item
from datakit.pocket.world import NAMES

__all__ = ["candidate"]

_SCALES = (("years old", "older", "younger"), ("kilos heavy", "heavier", "lighter"))


def candidate(rng: random.Random) -> Item:
    """Two people with a number each, and the question which one is above or below the other."""
    first, second = rng.sample(NAMES, 2)
    low, high = rng.sample(range(10, 100), 2)
    unit, above, below = rng.choice(_SCALES)
    asked = rng.choice((above, below))
    bigger = first if low > high else second
    smaller = second if low > high else first
    return Item(
        prompt=f"{first} is {low} {unit}. {second} is {high} {unit}. Question: who is {asked}? Answer:",
        answer=bigger if asked == above else smaller,
        choices=(first, second),
        combinations=(("comparison", str(min(low, high)), str(max(low, high))),),
    )
