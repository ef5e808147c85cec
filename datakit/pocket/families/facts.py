"""Facts about towns in eight wordings each.

A held-out combination is a fact in one wording; other wordings of that fact are trained.
"""

from __future__ import annotations

import random

from datakit.pocket.items import Item
from datakit.pocket.world import ATTRIBUTES, facts

__all__ = ["candidate"]

# The town stands at least five tokens before the answer, so that a 5-gram cannot know it.
_WORDINGS = {
    "country": (
        "The town of {} belongs to the country of",
        "Whoever lives in {} has a home in",
        "Question: {} is part of which country? Answer:",
        "Take the train to {} and you will be in",
        "On the map {} is in the south of",
        "People from {} pay their taxes to",
        "The road to {} ends in the hills of",
        "The king came to {} on his way through",
    ),
    "product": (
        "The market of {} is known to all for its",
        "Most people in {} earn their bread with",
        "Question: {} sells which product? Answer:",
        "Ships come to {} from far away to buy",
        "Every cellar in {} is full to the roof with",
        "If you go to {} please bring me some",
        "The shops of {} have nothing to sell but",
        "The old song about {} is a song about",
    ),
    "flag": (
        "The flag of {} has only one colour and it is",
        "Above the gate of {} flies a flag in plain",
        "Question: {} has a flag of which colour? Answer:",
        "For the fair in {} all the doors were painted",
        "The team of {} plays in shirts of bright",
        "The guards of {} wear long coats of dark",
        "The boats from {} have sails that are all",
        "Children in {} draw their flag as a field of",
    ),
}
_FACTS = tuple(facts())


def candidate(rng: random.Random) -> Item:
    """A fact, a wording, and three other values of the same attribute to choose from."""
    fact = rng.choice(_FACTS)
    wording = rng.randrange(len(_WORDINGS[fact.attribute]))
    others = rng.sample([value for value in ATTRIBUTES[fact.attribute] if value != fact.value], 3)
    choices = [fact.value, *others]
    rng.shuffle(choices)
    return Item(
        prompt=_WORDINGS[fact.attribute][wording].format(fact.town),
        answer=fact.value,
        choices=tuple(choices),
        combinations=(("facts", fact.town, fact.attribute, str(wording)),),
    )
