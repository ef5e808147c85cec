"""What finds personal data in texts that a step would send to a server; handed down to it by the build."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from importlib.metadata import PackageNotFoundError, version

from datakit.core.hashing import digest

__all__ = ["Redactor"]

_LOOKS = 1  # raise it when the same text may have other findings
_LIBRARIES = ("presidio-analyzer", "phonenumbers", "tldextract")


class Redactor:
    """Finds what the ``pii`` step would find, with its defaults.

    Args:
        languages: Of the texts.
    """

    def __init__(self, languages: tuple[str, ...]) -> None:
        self.languages = languages

    def version(self) -> str:
        """Hash of languages and versions; Presidio itself is not imported for it."""
        found = []
        for name in _LIBRARIES:
            try:
                found.append(version(name))
            except PackageNotFoundError:
                found.append("")
        return digest(_LOOKS, *self.languages, *found)

    def __call__(self, texts: Sequence[str]) -> list[list[tuple[str, int, int]]]:
        """Kind, start and end of the findings of each text.

        Raises:
            MissingDependency: Presidio is not installed.
        """
        from datakit.pii import scan

        return [[(span.entity, span.start, span.end) for span in one] for one in scan(texts, language=self.languages)]

    def known(self, values: Collection[str]) -> re.Pattern[str] | None:
        """An expression that finds each of the values."""
        from datakit.pii.known import any_of

        return any_of(values)
