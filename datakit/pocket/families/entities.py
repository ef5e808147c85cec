"""Who has what: three people, three things, a question for one of them. Held out are pairs of person and thing."""

from __future__ import annotations

import random

from datakit.pocket.items import Item
from datakit.pocket.world import NAMES, THINGS

__all__ = ["candidate"]

_STATEMENTS = ("The {thing} belongs to {name}.", "The {thing} is now with {name}.")
_QUESTIONS = ("Question: who has the {thing}? Answer:", "If you need the {thing} go and ask")


def candidate(rng: random.Random) -> Item:
    """Three statements, and a question that any of the three people could answer."""
    names = rng.sample(NAMES, 3)
    things = rng.sample(THINGS, 3)
    told = [rng.choice(_STATEMENTS).format(name=n, thing=t) for n, t in zip(names, things, strict=True)]
    asked = rng.randrange(3)
    pairs = [("entities", name, thing) for name, thing in zip(names, things, strict=True)]
    pairs.insert(0, pairs.pop(asked))
    return Item(
        prompt=" ".join([*told, rng.choice(_QUESTIONS).format(thing=things[asked])]),
        answer=names[asked],
        choices=tuple(names),
        combinations=tuple(pairs),
    )
