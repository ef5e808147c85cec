"""A server's log-probabilities of the tokens it wrote, turned into a probability of each option.

The answer is followed token by token from where the option begins. What the server would have written instead is given
to the option that it begins (to several in equal parts where it begins several); once one option alone can follow, the
rest of it is certain. The probabilities are scaled to 1 over the options, as where a local model scores them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datakit.labelling.answers import KEYS
from datakit.labelling.labeller import Labeller

__all__ = ["CHOICES", "Token", "option_chances", "read_tokens"]

#: Kinds whose answer is one option.
CHOICES = ("classify", "rating", "preference")


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was written: its bytes, its log-probability, and those of the likeliest tokens in its place."""

    written: bytes
    logprob: float
    others: Mapping[bytes, float]


def read_tokens(choice: Mapping[str, Any]) -> list[Token]:
    """The tokens of a response's choice; none where the server gives no log-probabilities, or odd ones."""
    found = choice.get("logprobs")
    content = found.get("content") if isinstance(found, dict) else None
    if not isinstance(content, list):
        return []
    try:
        return [
            Token(_bytes(one), _number(one), {_bytes(other): _number(other) for other in one.get("top_logprobs") or ()})
            for one in content
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        return []


def _bytes(token: Mapping[str, Any]) -> bytes:
    """Its bytes where the server gives them: half of a Korean syllable is no text."""
    raw = token.get("bytes")
    return bytes(raw) if isinstance(raw, list) else str(token["token"]).encode("utf-8", "surrogatepass")


def _number(token: Mapping[str, Any]) -> float:
    value = float(token["logprob"])
    if math.isnan(value) or value > 0.01:
        raise ValueError("no log-probability")
    return value


def option_chances(labeller: Labeller, vote: str, tokens: Sequence[Token]) -> dict[str, float] | None:
    """Probability of every vote, or None where the option cannot be found in what was written.

    Args:
        labeller: Whose votes.
        vote: What the answer was read as.
        tokens: Of the answer.
    """
    if labeller.kind not in CHOICES or not tokens:
        return None
    pair = ("a", "b") if labeller.kind == "preference" else ()
    written = {one: one.upper() if one in pair else one for one in labeller.votes}
    text = b"".join(token.written for token in tokens)
    start, end = _beginning(labeller, text)
    if not text[start:].startswith(written[vote].encode() + end):
        return None
    at, before = 0, 0
    while before + len(tokens[at].written) <= start:
        before += len(tokens[at].written)
        at += 1
    lead = text[before:start]
    whole = {one: lead + name.encode() + end for one, name in written.items()}
    return _walk(tokens[at:], whole, vote)


def _beginning(labeller: Labeller, text: bytes) -> tuple[int, bytes]:
    """Where the option begins, and the byte that must follow it."""
    key = re.search(rb'"' + KEYS[labeller.kind].encode() + rb'"\s*:\s*("?)', text)
    if key is not None:
        return key.end(), key.group(1)
    bare = re.match(rb"[\s\"'`*]*", text)
    return bare.end() if bare else 0, b""


def _walk(tokens: Sequence[Token], whole: Mapping[str, bytes], vote: str) -> dict[str, float] | None:
    mass = dict.fromkeys(whole, 0.0)
    alive, consumed, log = list(whole), b"", 0.0
    for token in tokens:
        for other, logprob in token.others.items():
            if other == token.written or not other:
                continue
            begun = _fitting(whole, alive, consumed + other)
            for one in begun:
                mass[one] += math.exp(log + logprob) / len(begun)
        consumed, log = consumed + token.written, log + token.logprob
        alive = _fitting(whole, alive, consumed)
        if len(alive) <= 1:
            break
    mass[vote] += math.exp(log)
    total = sum(mass.values())
    return {one: value / total for one, value in mass.items()} if total > 0 else None


def _fitting(whole: Mapping[str, bytes], names: Sequence[str], text: bytes) -> list[str]:
    """Options that a text begins, or that begin it and end where a word ends."""
    return [
        one
        for one in names
        if whole[one].startswith(text)
        or (text.startswith(whole[one]) and not re.match(rb"[\w\x80-\xff]", text[len(whole[one]) :]))
    ]
