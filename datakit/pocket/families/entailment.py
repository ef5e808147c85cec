"""A rule, a person, and what follows. Held out are pairs of a role and a place."""

from __future__ import annotations

import random

from datakit.pocket.items import Item
from datakit.pocket.world import NAMES, PLACES, ROLES

__all__ = ["candidate"]

_ALLOWING = ("Only a {role} may enter the {place}.", "The {place} is open to a {role} and to nobody else.")
_FORBIDDING = ("All but a {role} may enter the {place}.", "The {place} is closed to a {role} and to nobody else.")
# Above one half, so that finding the role again says something before the kind of rule is understood.
_ALLOWING_SHARE = 0.7


def candidate(rng: random.Random) -> Item:
    """A rule for one role, and a person who has that role or another one."""
    ruled, other = rng.sample(ROLES, 2)
    place = rng.choice(PLACES)
    allowing, matching = rng.random() < _ALLOWING_SHARE, rng.random() < 0.5
    name = rng.choice(NAMES)
    rule = rng.choice(_ALLOWING if allowing else _FORBIDDING).format(role=ruled, place=place)
    return Item(
        prompt=f"{rule} {name} is a {ruled if matching else other}. Question: may {name} go in? Answer:",
        answer="yes" if allowing == matching else "no",
        choices=("yes", "no"),
        combinations=(("entailment", ruled, place),),
    )
