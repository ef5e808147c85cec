"""A verb agrees with its subject across another noun. Held out are pairs of subject and other noun."""

from __future__ import annotations

import random

from datakit.pocket.items import Item
from datakit.pocket.world import NOUNS, PLACES

__all__ = ["candidate"]

_BETWEEN = (
    "The {head} near the {other} of the old {place}",
    "The {head} behind the {other} in the {place}",
    "The {head} that we saw beside the {other} at the {place}",
)
_VERBS = (("is", "are"), ("was", "were"), ("has", "have"), ("looks", "look"), ("stays", "stay"))


def candidate(rng: random.Random) -> Item:
    """A subject, another noun of the same or the other number, a place, and the two forms of one verb."""
    head, other = rng.sample(NOUNS, 2)
    plural, misleading = rng.randrange(2), rng.randrange(2)
    verb = rng.choice(_VERBS)
    return Item(
        prompt=rng.choice(_BETWEEN).format(head=head[plural], other=other[misleading], place=rng.choice(PLACES)),
        answer=verb[plural],
        choices=verb,
        combinations=(("agreement", head[plural], other[misleading]),),
    )
