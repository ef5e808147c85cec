"""Pairs of a better and a worse continuation, for learning from preferences: praise is preferred to blame."""

from __future__ import annotations

import json
import random
from pathlib import Path

from datakit.core.storage import write_text
from datakit.pocket.world import BAD, GOOD, NAMES, PLACES, THINGS

__all__ = ["write_preferences"]

_OPENINGS = ("{name} said that the {what} was", "The {what} was", "{name} thought that the {what} was")
_PLAIN = ("really {word}.", "very {word}.", "{word} as ever.")
# No single word tells praise from blame: it turns on the negation.
_NEGATED = ("never {word}.", "far from {word}.", "not {word}.")


def _said(rng: random.Random, *, praising: bool) -> str:
    if rng.random() < 0.5:
        return rng.choice(_PLAIN).format(word=rng.choice(GOOD if praising else BAD))
    return rng.choice(_NEGATED).format(word=rng.choice(BAD if praising else GOOD))


def write_preferences(path: Path, *, seed: int, rows: int = 600) -> None:
    """Writes JSONL with the columns id, prompt, chosen and rejected: an opening, and two ways to go on.

    Args:
        path: File to write.
        seed: Of the drawing.
        rows: Pairs.
    """
    rng = random.Random(f"preferences {seed}")
    written = []
    for number in range(1, rows + 1):
        opening = rng.choice(_OPENINGS).format(name=rng.choice(NAMES), what=rng.choice(THINGS + PLACES))
        chosen, rejected = _said(rng, praising=True), _said(rng, praising=False)
        written.append({"id": f"P-{number:05d}", "prompt": opening, "chosen": chosen, "rejected": rejected})
    write_text(path, "".join(json.dumps(row) + "\n" for row in written))
