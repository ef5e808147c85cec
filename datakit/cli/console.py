"""What commands print: rich on a terminal, plain lines in a log, JSON on stdout where asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "print_json"]


def console(*, quiet: bool = False, to_stderr: bool = False) -> Console:
    """A console for results; silent with ``quiet``; on stderr where stdout carries data or JSON.

    Style is switched off where the stream is no terminal or NO_COLOR is set. Text from users is printed with
    ``markup=False`` or escaped: a row may contain brackets.
    """
    from rich.console import Console

    return Console(
        file=sys.stderr if to_stderr else sys.stdout,
        quiet=quiet,
        highlight=False,
        soft_wrap=False,
        emoji=False,
    )


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout; escaped to ASCII where stdout is not UTF-8."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(value, ensure_ascii=not utf8, indent=1, default=str) + "\n")
