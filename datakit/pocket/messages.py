"""Short customer messages: what happened, what is wanted, what is not. The wanted thing alone gives the queue."""

from __future__ import annotations

import random

from datakit.pocket.world import BAD, DAYS, GOOD, QUEUES, THINGS

__all__ = ["WISHES", "message", "situation", "wish"]

WISHES = {
    "refund": ("my money back", "to be paid back", "the full price returned", "to get back what I paid"),
    "exchange": (
        "another {thing} instead",
        "a different {thing}",
        "to swap the {thing}",
        "one in {colour} for this one",
    ),
    "delivery": (
        "to know where the {thing} is",
        "it brought to my door",
        "the {thing} sent to my new home",
        "it to come at last",
    ),
    "repair": ("the {thing} mended", "somebody to fix the {thing}", "it to work again", "a new part for the {thing}"),
    "account": ("to change my name", "a new password", "to open my page again", "my old address taken out"),
}
_SITUATIONS = (
    "I bought a {thing} on {day}.",
    "My {thing} was to come on {day}.",
    "There was a {thing} in my last order.",
    "The {thing} I paid for on {day} looks {word}.",
    "We have had this {thing} since {day}.",
    "It is about the {thing} again.",
    "I wrote to you on {day} about a {thing}.",
)
_WANTED = ("I want {yes}.", "I would like {yes}.", "All I want is {yes}.", "It is time for me to ask for this: {yes}.")
_REJECTED = (
    "I do not want {no}.",
    "I would not like {no}.",
    "The last thing I want is {no}.",
    "Nobody here asked for this: {no}.",
)
_JOINED = (
    "I want {yes} and not {no}.",
    "Not {no} but {yes} is what I want.",
    "I would like {yes} rather than {no}.",
    "Instead of {no} I would like {yes}.",
)


def situation(rng: random.Random, thing: str) -> str:
    """What happened; it says nothing about the queue."""
    return rng.choice(_SITUATIONS).format(thing=thing, day=rng.choice(DAYS), word=rng.choice(GOOD + BAD))


def wish(rng: random.Random, queue: str, thing: str) -> str:
    """One wording of what the people of a queue are asked for."""
    return rng.choice(WISHES[queue]).format(thing=thing, colour=rng.choice(("red", "blue", "green", "black")))


def message(rng: random.Random, queue: str) -> str:
    """A message for a queue. In four of five another queue's wish is rejected in it, before or after the real one."""
    thing = rng.choice(THINGS)
    yes = wish(rng, queue, thing)
    no = wish(rng, rng.choice([other for other in QUEUES if other != queue]), thing)
    wanted, rejected = rng.choice(_WANTED).format(yes=yes), rng.choice(_REJECTED).format(no=no)
    joined = rng.choice(_JOINED).format(yes=yes, no=no)
    body = rng.choice((wanted, f"{wanted} {rejected}", f"{rejected} {wanted}", joined, joined))
    return f"{situation(rng, thing)} {body}"
