"""Pretraining text: documents of one to three pieces, each an item of a task family (never a held-out one) or prose."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from datakit.pocket.families import FAMILIES
from datakit.pocket.items import Item, draw
from datakit.pocket.prose import queue_prose, shop_prose

__all__ = ["SEPARATOR", "Piece", "document", "documents", "pieces", "training_item"]

SEPARATOR = "\n\n"

# How often each kind of piece is drawn: those that are learnt slowest most often.
_WEIGHTS = {
    "facts": 15,
    "entities": 12,
    "sentiment": 10,
    "sums": 16,
    "comparison": 8,
    "reversal": 5,
    "agreement": 4,
    "entailment": 10,
    "format": 7,
    "queue": 4,
    "shop": 8,
}
_KINDS = tuple(_WEIGHTS)
_SHARES = tuple(_WEIGHTS.values())


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a document: its kind, its text, and the item it was made from unless it is prose."""

    kind: str
    text: str
    item: Item | None = None


def training_item(rng: random.Random, family: str) -> Item:
    """An item of a family none of whose combinations is held out."""
    return draw(FAMILIES[family], rng, held_out=False)


def pieces(rng: random.Random) -> list[Piece]:
    """The pieces of one document."""
    found: list[Piece] = []
    for kind in rng.choices(_KINDS, _SHARES, k=rng.randint(1, 3)):
        if kind == "queue":
            found.append(Piece(kind, queue_prose(rng)))
        elif kind == "shop":
            found.append(Piece(kind, shop_prose(rng)))
        else:
            item = training_item(rng, kind)
            found.append(Piece(kind, item.text, item))
    return found


def document(rng: random.Random) -> str:
    """The text of one document."""
    return SEPARATOR.join(piece.text for piece in pieces(rng))


def documents(seed: int) -> Iterator[str]:
    """An endless stream of documents; the same seed gives the same stream."""
    rng = random.Random(seed)
    while True:
        yield document(rng)
