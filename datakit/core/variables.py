"""``${NAME:-default}`` in paths of recipes and suites, and in nothing else: a secret has no way into a manifest."""

from __future__ import annotations

import os
import re

from datakit.core.errors import DatakitError

__all__ = ["VARIABLE", "expand"]

VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def expand(path: str, *, where: str | None = None) -> str:
    """Replaces every ``${NAME:-default}`` by the environment's value, or by the default where it is unset or empty.

    Raises:
        DatakitError: A variable is not set and has no default.
    """

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1]) or match[2]
        if found is None:
            raise DatakitError(
                f"the environment variable '{match[1]}' is not set",
                where=where,
                hint=f"Set it, or write a default: ${{{match[1]}:-folder}}",
            )
        return found

    return VARIABLE.sub(value, path)
