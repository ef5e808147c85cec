"""Names, places and organisations, found by a model that a person names: spaCy, a Hugging Face classifier or GLiNER."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from datakit.core.checkpoint import no_progress_bars
from datakit.core.errors import MissingDependency, StepError
from datakit.core.hashing import digest
from datakit.core.require import require
from datakit.pii.span import Span
from datakit.pii.windows import whole_names, windows

__all__ = ["NAME_ENTITIES", "check_engine", "engine_fingerprint", "engine_title", "load_engine"]

Engine = Callable[[Sequence[str]], list[list[Span]]]

NAME_ENTITIES: Final = ("PERSON", "LOCATION", "ORGANIZATION")
_SCHEMES: Final = ("spacy", "hf", "gliner")
_SCORE: Final = 0.85  # Presidio's score of a spaCy finding, which has none of its own
_LABELS: Final = {
    "PERSON": ("PER", "PERSON", "PS", "NAME"),
    "LOCATION": ("LOC", "LOCATION", "GPE", "LC", "PLACE"),
    "ORGANIZATION": ("ORG", "ORGANIZATION", "ORGANISATION", "OG", "CORPORATION", "GROUP"),
}
_KINDS: Final = {label: kind for kind, labels in _LABELS.items() for label in labels}


def check_engine(name: str) -> str:
    """Refuses what names no engine.

    Raises:
        ValueError: The text before the colon is no known library, or nothing follows it.
    """
    scheme, _, model = name.partition(":")
    if scheme not in _SCHEMES or not model:
        raise ValueError(f"no engine '{name}': write spacy:MODEL, hf:MODEL or gliner:MODEL, a name or a folder")
    return name


@lru_cache(maxsize=2)
def load_engine(name: str, folder: Path = Path()) -> Engine:
    """The model as a function from texts to findings.

    Args:
        name: ``spacy:MODEL``, ``hf:MODEL`` or ``gliner:MODEL``; the model is a folder or a name its library knows.
        folder: Where a relative folder is looked for.

    Raises:
        StepError: No such engine, or the library cannot load the model.
        MissingDependency: The library is not installed.
    """
    try:
        scheme, _, model = check_engine(name).partition(":")
    except ValueError as error:
        raise StepError(str(error), where="pii.engine") from None
    local = folder / model
    place = str(local) if local.is_dir() else model
    make = {"spacy": _spacy, "hf": _hugging_face, "gliner": _gliner}[scheme]
    try:
        return make(place)
    except (OSError, ValueError) as error:
        hint = "Give a folder with a trained model, or install the model for its library"
        raise StepError(f"the engine '{name}' does not load: {error}", where="pii.engine", hint=hint) from None


def engine_fingerprint(name: str, folder: Path = Path()) -> str:
    """Changes with the model: a hash of a folder's files, else the name and the versions of the libraries."""
    scheme, _, model = name.partition(":")
    local = folder / model
    parts = [scheme, model]
    if local.is_dir():
        for path in sorted(part for part in local.rglob("*") if part.is_file()):
            with path.open("rb") as stream:
                parts += [path.relative_to(local).as_posix(), hashlib.file_digest(stream, "blake2b").hexdigest()]
    package = {"spacy": "spacy", "hf": "transformers", "gliner": "gliner"}[scheme]
    try:
        parts.append(version(package))
    except PackageNotFoundError:
        parts.append("missing")  # loading it says so
    return digest(*parts)


def engine_title(name: str) -> str:
    """The engine for a card: of a folder, its last name only."""
    scheme, _, model = name.partition(":")
    return f"{scheme}:{Path(model).name if Path(model).is_absolute() else model}"


def _kind(label: str) -> str | None:
    return _KINDS.get(label.upper().removeprefix("B-").removeprefix("I-"))


def _spacy(place: str) -> Engine:
    nlp = require("spacy", extra="pii").load(place)

    def find(texts: Sequence[str]) -> list[list[Span]]:
        nlp.max_length = max([nlp.max_length, *map(len, texts)])
        return [
            [Span(kind, part.start_char, part.end_char, _SCORE) for part in doc.ents if (kind := _kind(part.label_))]
            for doc in nlp.pipe(texts, batch_size=64)
        ]

    return find


def _hugging_face(place: str) -> Engine:
    transformers = require("transformers", extra="train")
    with warnings.catch_warnings(), no_progress_bars():
        warnings.simplefilter("ignore")  # deprecations between the library and what it is built on
        pipeline = transformers.pipeline("token-classification", model=place, device="cpu")
    tokenizer = pipeline.tokenizer
    if not tokenizer.is_fast:
        raise ValueError("its tokenizer does not tell where a token stands: a fast one (tokenizer.json) is needed")
    positions = getattr(pipeline.model.config, "max_position_embeddings", None) or 514
    tokenizer.model_max_length = min(tokenizer.model_max_length, positions - 2, 512)
    # Windows of so many tokens, a quarter of each read twice; the longest of findings that overlap stands.
    reads = {"aggregation_strategy": "simple", "stride": tokenizer.model_max_length // 4}

    def find(texts: Sequence[str]) -> list[list[Span]]:
        found = []
        for text in texts:
            parts = pipeline(text, **reads) if text.strip() else []
            spans = [
                Span(kind, part["start"], part["end"], round(float(part["score"]), 4))
                for part in parts
                if (kind := _kind(part["entity_group"])) and part["end"] > part["start"]
            ]
            found.append(whole_names(text, spans))
        return found

    return find


def _gliner(place: str) -> Engine:
    try:
        gliner: Any = import_module("gliner")
    except ModuleNotFoundError:
        raise MissingDependency(
            "this needs gliner, which is not installed", hint="Install it with: pip install gliner"
        ) from None
    model = gliner.GLiNER.from_pretrained(place)
    labels = {"person": "PERSON", "location": "LOCATION", "organization": "ORGANIZATION"}

    def find(texts: Sequence[str]) -> list[list[Span]]:
        return [
            whole_names(
                text,
                (
                    Span(labels[part["label"]], start + part["start"], start + part["end"], round(part["score"], 4))
                    for start, end in windows(text, 1200, 200)
                    for part in model.predict_entities(text[start:end], list(labels))
                ),
            )
            for text in texts
        ]

    return find
