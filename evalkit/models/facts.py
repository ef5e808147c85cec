"""What a model tells about a request besides lm-eval's number: lengths, cuts, and whether an answer ended."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Facts", "RequestFacts"]


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """One request.

    Attributes:
        n_tokens: Tokens scored or generated.
        finished: A generation ended by a stop string or an end token, not by the limit.
    """

    n_tokens: int = 0
    finished: bool = True


@dataclass(slots=True)
class Facts:
    """All requests of one task.

    Attributes:
        requests: ``(doc_id, idx)`` of lm-eval's instance to its facts.
        cut_contexts: Number of contexts that lost tokens on the left because the model's window is shorter.
    """

    requests: dict[tuple[int, int], RequestFacts] = field(default_factory=dict)
    cut_contexts: int = 0
