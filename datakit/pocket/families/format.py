"""Words written in a wanted form. The answer is generated. Held out are a form with a set of words."""

from __future__ import annotations

import random

from datakit.pocket.items import Item
from datakit.pocket.world import COLOURS, QUEUES, ROLES, THINGS

__all__ = ["candidate"]

_WORDS = (*THINGS, *COLOURS, *ROLES, *QUEUES)
_FORMS = {
    "with dashes": "{} - {} - {}",
    "with bars": "{} | {} | {}",
    "with commas": "{} , {} , {}",
    "in brackets": "( {} {} {} )",
    "between stars": "* {} {} {} *",
    "twice over": "{0} {0} {1} {1} {2} {2}",
}


def candidate(rng: random.Random) -> Item:
    """Three words and a form."""
    words = rng.sample(_WORDS, 3)
    name = rng.choice(sorted(_FORMS))
    return Item(
        prompt=f"Write these words {name}: {' '.join(words)}. Result:",
        answer=_FORMS[name].format(*words),
        choices=(),
        combinations=(("format", name, *sorted(words)),),
    )
