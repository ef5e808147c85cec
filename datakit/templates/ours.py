r"""Reads our own template format: small YAML files with several wordings of one task in one language.

::

    task: classify            # what `use:` names
    language: en
    templates:
      - name: short
        input: "{{ text }}\nCategory:"
        target: "{{ label }}"
        choices: labels       # an expression that gives a list, or a list of texts; may be left out
        system: "Be brief."   # may be left out
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datakit.core.errors import RecipeError, TemplateError
from datakit.core.yaml import Document, load_yaml
from datakit.templates.template import Template

__all__ = ["read_file"]

_Text = Annotated[str, Field(min_length=1)]
_Name = Annotated[str, Field(pattern=r"^[^/:\s][^/:]*$")]


class _Wording(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: _Name
    input: _Text
    target: _Text
    choices: _Text | list[_Text] | None = None
    system: _Text | None = None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: int = Field(default=1, ge=1, le=1)
    task: _Name
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z]+)?$")]
    templates: Annotated[list[_Wording], Field(min_length=1)]


def read_file(path: Path, *, collection: str | None = None, trusted: bool = False) -> dict[str, Template]:
    """Templates of one file of our format, by name, in the file's order.

    Args:
        path: The file.
        collection: What its templates' keys begin with; the path by default.
        trusted: The file is shipped with datakit and its templates render in this process.

    Raises:
        TemplateError: ``file:line: key`` of the first mistake.
    """
    try:
        document = load_yaml(path)
    except RecipeError as error:
        raise TemplateError(error.message, where=error.where, hint=error.hint) from None
    file = _validated(document)
    found: dict[str, Template] = {}
    for k, wording in enumerate(file.templates):
        if wording.name in found:
            raise TemplateError(
                f"a second template named '{wording.name}'", where=document.where(["templates", k, "name"])
            )
        found[wording.name] = Template(
            name=wording.name,
            format="datakit",
            body=wording.model_dump(exclude={"name"}),
            origin=f"{path}:{document.line(['templates', k])}",
            trusted=trusted,
            collection=collection or str(path),
            task=file.task,
            language=file.language,
        )
    return found


def _validated(document: Document) -> _File:
    if not isinstance(document.value, dict):
        raise TemplateError("a template file has the keys task, language and templates", where=document.path)
    try:
        return _File.model_validate(document.value)
    except ValidationError as error:
        first = error.errors()[0]
        # pydantic adds the branch of a union to the path; the file has no such key.
        keys: list[Any] = [key for key in first["loc"] if not str(key).startswith(("constrained-", "list["))]
        message = first["msg"][0].lower() + first["msg"][1:]
        if first["type"] == "extra_forbidden":
            known = _Wording if len(keys) > 1 else _File
            message = f"unknown key; known are {', '.join(known.model_fields)}"
        raise TemplateError(message, where=document.where(keys)) from None
