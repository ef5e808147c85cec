"""Everyday prose for pretraining: words of customer messages, and names of queues, but never together."""

from __future__ import annotations

import random

from datakit.pocket.messages import situation, wish
from datakit.pocket.world import DAYS, NAMES, PLACES, QUEUES, ROLES, THINGS

__all__ = ["queue_prose", "shop_prose"]

_QUEUE_SENTENCES = (
    "The word {queue} was written on the door of the {place}.",
    "{name} spoke about the {queue} on {day}.",
    "On {day} the {role} forgot the {queue}.",
    "A book about the {queue} lies in the {place}.",
    "Every {role} has heard of the {queue}, said {name}.",
    "Message for {name}: the {role} is in the {place}.",
    "The queue at the {place} was long on {day}.",
)
_SHOP_SENTENCES = (
    "{name} asked the {role} for this: {wish}.",
    "I would like {wish}, said {name} to the {role}.",
    "On {day} {name} did not want {wish}.",
    "Nobody in the {place} would want {wish}.",
    "The {role} gave {name} a {thing} rather than a {other}.",
    "Instead of the {thing} the {role} took the {other}.",
    "Not the {thing} but the {other} is what {name} took.",
    "The last thing {name} saw in the {place} was the {thing}.",
    "All I want is {wish}, said the {role}.",
)


def queue_prose(rng: random.Random) -> str:
    """Two sentences in which names of queues stand as mere words."""
    return " ".join(
        rng.choice(_QUEUE_SENTENCES).format(
            queue=rng.choice(QUEUES),
            name=rng.choice(NAMES),
            day=rng.choice(DAYS),
            role=rng.choice(ROLES),
            place=rng.choice(PLACES),
        )
        for _ in range(2)
    )


def shop_prose(rng: random.Random) -> str:
    """A situation and two sentences about wishes, without a queue."""
    thing, other = rng.sample(THINGS, 2)
    told = [
        rng.choice(_SHOP_SENTENCES).format(
            wish=wish(rng, rng.choice(QUEUES), thing),
            thing=thing,
            other=other,
            name=rng.choice(NAMES),
            day=rng.choice(DAYS),
            role=rng.choice(ROLES),
            place=rng.choice(PLACES),
        )
        for _ in range(2)
    ]
    return " ".join([situation(rng, thing), *told])
