"""What is asked of a model about every row: a small YAML file with instruction, options, examples, output schema."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from datakit.core.errors import NewerFormat, RecipeError
from datakit.core.hashing import json_digest
from datakit.core.registry import Registry, suggest
from datakit.core.yaml import load_yaml

__all__ = [
    "FORMAT",
    "FROM_DATA",
    "LABELLERS",
    "Case",
    "Kind",
    "Labeller",
    "Option",
    "fold",
    "library_names",
    "load_labeller",
]

FORMAT = 1

Kind = Literal["classify", "multilabel", "spans", "answer", "preference", "rating"]

#: Written for ``options``: the label names of the data are the options.
FROM_DATA = "labels"

LABELLERS = Registry("datakit.labellers")
"""Labellers of installed packages: name to a path of a YAML file, or a function that gives one."""

_LIBRARY = Path(__file__).parent / "library"
_CLOSED = ("classify", "multilabel", "spans", "rating")


def fold(text: str) -> str:
    """The form in which an answer and an option are compared: NFKC, no case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class Option(BaseModel):
    """One possible answer and what it means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    description: str | None = None


class Case(BaseModel):
    """A worked example: an input and its answer in the labeller's form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str | dict[str, str]
    answer: Any


class Labeller(BaseModel):
    """A question put to every row.

    Attributes:
        format: Of the file.
        name: For reports and ledgers.
        kind: ``classify`` (one option), ``multilabel`` (any number), ``spans`` (quoted parts, each with an option),
            ``answer`` (free), ``preference`` (which of two answers), ``rating`` (a whole number by a rubric).
        language: ``en`` or ``ko``: of what is put around the instruction.
        instruction: What is asked.
        input: How a row is shown: ``{text}``, ``{prompt}``, ``{answer}``, ``{first}``, ``{second}``,
            ``{conversation}`` or a column of the data in braces.
        options: Name to description, a list of names, or ``labels`` for the label names of the data.
        examples: Worked ones.
        output: JSON schema of an ``answer``, an object; ``{"answer": string}`` by default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    name: str = Field(min_length=1)
    kind: Kind
    language: Literal["en", "ko"] = "en"
    instruction: str = Field(min_length=1)
    input: str | None = None
    options: tuple[Option, ...] | Literal["labels"] = ()
    examples: tuple[Case, ...] = ()
    output: dict[str, Any] | None = None

    @field_validator("options", mode="before")
    @classmethod
    def _any_writing(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return [{"name": str(name), "description": text} for name, text in value.items()]
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [{"name": str(item)} if isinstance(item, (str, int, float)) else item for item in value]
        return value

    @model_validator(mode="after")
    def _can_be_right(self) -> Labeller:
        if self.kind in _CLOSED and not self.options:
            raise ValueError(f"a labeller of kind '{self.kind}' needs options")
        if self.kind not in (*_CLOSED, "preference") and self.options:
            raise ValueError(f"a labeller of kind '{self.kind}' has no options; they are for {', '.join(_CLOSED)}")
        if self.kind == "preference" and self.options and self.names != ("tie",):
            raise ValueError("a preference chooses between its two answers; the only option it takes is 'tie'")
        if self.output is not None and (self.kind != "answer" or self.output.get("type") != "object"):
            raise ValueError("output is the JSON schema of an answer: kind 'answer', and of type object")
        _no_duplicates(self.names)
        if self.kind in ("classify", "rating") and self.options != FROM_DATA and len(self.options) < 2:
            raise ValueError(f"one option leaves nothing to choose: '{self.names[0]}'")
        if self.kind == "rating":
            if not all(re.fullmatch(r"-?\d+", name) for name in self.names):
                raise ValueError(f"the options of a rating are whole numbers, not {', '.join(self.names)}")
            if list(self.names) != sorted(self.names, key=int):
                raise ValueError("the options of a rating stand in rising order")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the options in their order; none while they come from the data."""
        return () if isinstance(self.options, str) else tuple(option.name for option in self.options)

    @property
    def votes(self) -> tuple[str, ...]:
        """What a vote may be: the options, or the two answers ``a`` and ``b`` (and ``tie``)."""
        return ("a", "b", *self.names) if self.kind == "preference" else self.names

    @property
    def digest(self) -> str:
        """Hash of everything that is asked; the name is no part of it."""
        return json_digest(self.model_dump(mode="json", exclude={"name", "format"}))

    def with_options(self, names: Sequence[str]) -> Labeller:
        """The labeller with the data's label names as its options, where it takes them from there.

        Raises:
            RecipeError: There are none, or too few.
        """
        if self.options != FROM_DATA:
            return self
        if not names:
            raise RecipeError(
                f"the labeller '{self.name}' takes its options from the data's labels, and there are none",
                hint="Name the label column, or list the options in a labeller of your own: datakit label new NAME",
            )
        try:
            return Labeller.model_validate({**self.model_dump(), "options": list(names)})
        except ValidationError as error:
            raise RecipeError(_first(error), where=f"labeller '{self.name}'") from None


def _no_duplicates(names: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.get(fold(name))) is not None:
            same = "stands there twice" if other == name else f"and '{other}' differ only in case or spaces"
            raise ValueError(f"the option '{name}' {same}")
        seen[fold(name)] = name


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    keys = ".".join(str(key) for key in first["loc"] if not str(key).startswith(("tuple", "literal", "constrained")))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = f"unknown key. {suggest(str(first['loc'][-1]), list(Labeller.model_fields))}"
    return f"{keys}: {message}" if keys else message


def library_names() -> list[str]:
    """Labellers that lie in the package, ``name.language``."""
    return sorted(path.stem for path in _LIBRARY.glob("*.yaml"))


def load_labeller(name: str, *, folder: Path | None = None, language: str = "en") -> Labeller:
    """Reads a labeller.

    Args:
        name: A YAML file (relative to ``folder``), ``name.language`` or ``name`` of the library, or one of an
            installed package.
        folder: Of the recipe.
        language: Of a library labeller that is named without one.

    Raises:
        RecipeError: No such labeller, or one that cannot be right; with file, line and key.
        NewerFormat: Written for a newer version.
    """
    path = _find(name, folder or Path(), language)
    document = load_yaml(path)
    value = document.value
    if not isinstance(value, Mapping):
        raise RecipeError("a labeller is a mapping with instruction and options", where=path)
    if isinstance(value.get("format"), int) and value["format"] > FORMAT:
        raise NewerFormat(
            f"a labeller of format {value['format']}, this version reads up to {FORMAT}",
            where=path,
            hint="Update datakit",
        )
    try:
        return Labeller.model_validate({"name": path.stem.partition(".")[0], **value})
    except ValidationError as error:
        keys = [key for key in error.errors()[0]["loc"] if _stands(value, key)]
        raise RecipeError(_first(error), where=f"{path}:{document.line(keys)}") from None


def _stands(value: Mapping[str, Any], key: str | int) -> bool:
    return key in value


def _find(name: str, folder: Path, language: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        path = folder / name
        if not path.is_file():
            raise RecipeError("no such labeller file", where=path, hint="Write one with: datakit label new NAME")
        return path
    known = library_names()
    for full in (name, f"{name}.{language}"):
        if full in known:
            return _LIBRARY / f"{full}.yaml"
    if name in LABELLERS.names():
        found = LABELLERS.load(name)
        return Path(found() if callable(found) else found)
    raise RecipeError(
        f"no labeller named '{name}'",
        hint=f"{suggest(name, [*known, *LABELLERS.names()])}. Or write one: datakit label new NAME",
    )
