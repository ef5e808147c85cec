"""A tokenizer by name for filters that count tokens: Hugging Face's fast tokenizers alone, without torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datakit.core.checkpoint import find_model
from datakit.core.errors import StepError
from datakit.core.hashing import file_digest
from datakit.core.registry import Registry
from datakit.core.require import require
from datakit.core.step import StepContext

__all__ = ["Tokenizer"]

_MODELS = Registry("datakit.models")
_BATCH = 1000


class Tokenizer:
    """Counts tokens and says where they stand.

    Args:
        name: A folder with ``tokenizer.json`` relative to the recipe, that file, ``pocket``, or a Hub name.
        context: For the recipe's folder and whether the network may be used.

    Raises:
        StepError: No tokenizer there.
        MissingDependency: The library is not installed.
    """

    def __init__(self, name: str, context: StepContext) -> None:
        self.file = _file(name, context)
        library = require("tokenizers", extra="train")
        try:
            self._tokenizer = library.Tokenizer.from_file(str(self.file))
        except Exception as error:  # the library raises a bare Exception
            raise StepError(f"the tokenizer '{name}' cannot be read: {error}", where=self.file) from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def fingerprint(self) -> str:
        """Hash of its file."""
        return file_digest(self.file)

    def counts(self, texts: Iterable[str | None]) -> list[int | None]:
        """Tokens of each text, special tokens left out."""
        rows = list(texts)
        found: list[int | None] = []
        for start in range(0, len(rows), _BATCH):
            batch = [text or "" for text in rows[start : start + _BATCH]]
            found += [len(made.ids) for made in self._tokenizer.encode_batch(batch, add_special_tokens=False)]
        return [None if text is None else count for text, count in zip(rows, found, strict=True)]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """First and behind-last character of each token."""
        made: list[tuple[int, int]] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return made


def _file(name: str, context: StepContext) -> Path:
    place = context.folder / name
    for candidate in (place, place / "tokenizer.json"):
        if candidate.is_file():
            return candidate
    folder: Any = _MODELS.load(name)() if name in _MODELS.names() else None
    if folder is None:
        if place.is_dir():
            raise StepError("no tokenizer.json in the folder", where=place)
        folder = find_model(name, offline=context.offline)
    return Path(folder) / "tokenizer.json"
