"""A thing changes hands: who has it now, and who had it before. Held out are pairs of people."""

from __future__ import annotations

import random

from datakit.pocket.items import Item
from datakit.pocket.world import NAMES, THINGS

__all__ = ["candidate"]

_GIVING = ("{first} sold the {thing} to {second}.", "{first} gave the {thing} to {second}.")
_TAKING = ("{first} bought the {thing} from {second}.", "{first} took the {thing} from {second}.")
_NOW = "Question: who has the {thing} now? Answer:"
_BEFORE = "Question: who had the {thing} before? Answer:"
# Above one half: at one half neither sentence alone would say anything, and a small model would learn neither.
_GIVING_SHARE = 0.6
_NOW_SHARE = 0.6


def candidate(rng: random.Random) -> Item:
    """One sentence with two people, and a question whose answer turns on the verb and on the question."""
    first, second = rng.sample(NAMES, 2)
    thing = rng.choice(THINGS)
    giving, now = rng.random() < _GIVING_SHARE, rng.random() < _NOW_SHARE
    told = rng.choice(_GIVING if giving else _TAKING).format(first=first, second=second, thing=thing)
    return Item(
        prompt=f"{told} {(_NOW if now else _BEFORE).format(thing=thing)}",
        answer=second if giving == now else first,
        choices=(first, second),
        combinations=(("entities", *sorted((first, second))),),
    )
