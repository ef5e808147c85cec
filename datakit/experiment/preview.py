"""A training row on one line of a terminal."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["preview"]


def preview(pieces: Sequence[tuple[str, bool]], width: int = 70) -> str:
    """A row on one line, trained tokens in marks.

    Of a long prompt the middle is left out; of an answer nothing, unless it alone is twice as long as a line.

    Args:
        pieces: Text, and whether it is trained.
        width: Of the line, where the answer leaves room.
    """
    from train import marked

    line = " ".join(marked(pieces).split())
    cut = len(line) - width
    start = line.find("⟦")
    if cut <= 0:
        return line
    if start < 3:  # plain text: trained from its first token
        return f"{line[: width - 2]}…⟧"
    kept = max(start - cut - 1, 2)
    head = kept * 2 // 3
    answer = line[start:]
    if len(answer) > 2 * width:
        answer = f"{answer[:width].rstrip()}…{answer[-width // 2 :].lstrip()}"
    return f"{line[:head].rstrip()}…{line[start - (kept - head) : start].lstrip()}{answer}"
