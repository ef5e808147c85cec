"""One line of what the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "State"]

State = Literal["ok", "missing", "warn", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the result.

    Attributes:
        section: Heading it stands under.
        name: What was looked at.
        state: ``missing`` is optional and not there; ``broken`` keeps datakit from working.
        text: What was found.
        advice: What to do about it.
    """

    section: str
    name: str
    state: State
    text: str
    advice: str | None = None
