"""The data part of a recipe: sources and steps, checked when it is read, with key path and line in every error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_serializer, model_validator

from datakit.core.errors import DatakitError, NewerFormat, RecipeError
from datakit.core.registry import Registry, suggest
from datakit.core.step import Params
from datakit.core.yaml import Document, load_yaml
from datakit.limited import WHOLE
from datakit.sources.spec import Labels, SourceSpec

__all__ = [
    "FORMAT",
    "NAME",
    "STEPS",
    "TOP_LEVEL",
    "DataRecipe",
    "Labels",
    "SourceSpec",
    "StepSpec",
    "check_steps",
    "read_data_recipe",
    "recipe_error",
]

FORMAT = 1

#: Of runs and arms, which become folders.
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"

TOP_LEVEL = ("format", "name", "seeds", "data", "model", "chat", "arms", "stages", "evaluate", "hub", "network")

STEPS = Registry(
    "datakit.steps",
    {
        "balance": "datakit.filters.balance:BalanceStep",
        "chunk": "datakit.filters.chunk:ChunkStep",
        "decontaminate": "datakit.decontaminate.step:DecontaminateStep",
        "dedup": "datakit.dedup.step:DedupStep",
        "filter": "datakit.filters.function:FilterStep",
        "label": "datakit.labelling.step:LabelStep",
        "language": "datakit.filters.language:LanguageStep",
        "length": "datakit.filters.length:LengthStep",
        "mix": "datakit.mixing.mix:MixStep",
        "overlap": "datakit.filters.overlap:OverlapStep",
        "pii": "datakit.pii.step:PiiStep",
        "quality": "datakit.filters.quality:QualityStep",
        "refusals": "datakit.filters.refusals:RefusalStep",
        "select": "datakit.filters.select:SelectStep",
        "split": "datakit.mixing.split:SplitStep",
        "template": "datakit.templates.step:TemplateStep",
    },
)
"""Step classes: ``StepClass(params, context)`` with ``Params``, name, version and kind on the class."""

_ONCE = ("mix", "pii", "split", "template")


class StepSpec(BaseModel):
    """One entry of ``data.steps``: ``- dedup: {threshold: 0.8}``, or ``- dedup`` for its defaults.

    Attributes:
        name: Of the step.
        params: Its parameters.
        sources: Written among the parameters: the step looks at the rows of these sources only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    params: dict[str, Any] = Field(default_factory=dict)
    sources: tuple[str, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _one_key(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if (
            isinstance(value, Mapping)
            and isinstance(value.get("name"), str)
            and set(value) <= {"name", "params", "sources"}
        ):
            return value
        if isinstance(value, Mapping) and len(value) == 1:
            name, params = next(iter(value.items()))
            if params is None or isinstance(params, Mapping):
                params = dict(params or {})
                sources = params.pop("sources", None)
                sources = [sources] if isinstance(sources, str) else sources
                return {"name": str(name), "params": params, "sources": sources}
            raise ValueError(f"the parameters of '{name}' are no mapping; write {name}: {{key: value}}")
        raise ValueError("a step is one name with its parameters, such as dedup: {threshold: 0.8}")

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        limit = {} if self.sources is None else {"sources": list(self.sources)}
        return {self.name: {**self.params, **limit}}

    def load(self) -> tuple[Any, Params]:
        """The step's class and its checked parameters.

        Raises:
            DatakitError: No step of that name.
            ValidationError: Parameters the step does not take.
        """
        step = STEPS.load(self.name)
        return step, step.Params.model_validate(self.params)


class DataRecipe(BaseModel):
    """The ``data`` part of a recipe.

    Attributes:
        sources: Source name to what is read.
        steps: In the order they run.
        license: For the data card.
        language: For the data card: a code or several.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: dict[str, SourceSpec] = Field(min_length=1)
    steps: tuple[StepSpec, ...] = ()
    license: str | None = None
    language: str | tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _some_train_source(self) -> DataRecipe:
        for name in self.sources:
            if not name or not all(char.isalnum() or char in "-_." for char in name) or name.startswith("."):
                raise ValueError(f"the source name '{name}' becomes a file name: letters, digits, - _ . only")
        if all(source.use != "train" for source in self.sources.values()):
            raise ValueError("no source has use: train")
        return self


def check_steps(recipe: DataRecipe) -> list[tuple[Any, Params]]:
    """Loads every step, checks its parameters and the order.

    Returns:
        Step class and parameters, in order.

    Raises:
        RecipeError: ``where`` is the key path below ``data``; :func:`read_data_recipe` adds file and line.
    """
    return [loaded for _, loaded in _checked_steps(recipe, None)]


def _checked_steps(recipe: DataRecipe, document: Document | None) -> list[tuple[StepSpec, tuple[Any, Params]]]:
    found: list[tuple[StepSpec, tuple[Any, Params]]] = []
    steps = recipe.steps
    names = [step.name for step in steps]
    for index, spec in enumerate(steps):
        keys: list[str | int] = ["data", "steps", index]
        try:
            step, params = spec.load()
        except ValidationError as error:
            model = STEPS.load(spec.name).Params
            raise recipe_error(error, document, [*keys, spec.name], model) from None
        except DatakitError as error:
            raise RecipeError(error.message, where=_where(document, keys), hint=error.hint) from None
        unknown = next((name for name in spec.sources or () if name not in recipe.sources), None)
        if unknown is not None:
            where, known = _where(document, [*keys, spec.name, "sources"]), list(recipe.sources)
            raise RecipeError(f"no source '{unknown}'", where=where, hint=suggest(unknown, known))
        if (wrong := _impossible(spec, params, names, index, found)) is not None:
            raise RecipeError(wrong, where=_where(document, [*keys, spec.name]))
        found.append((spec, (step, params)))
    return found


def _impossible(
    spec: StepSpec, params: Params, names: list[str], index: int, before: list[tuple[StepSpec, Any]]
) -> str | None:
    """Why a recipe with this step at this place cannot be right."""
    if spec.sources is not None and spec.name in WHOLE:
        return f"the step '{spec.name}' is for the rows of all sources"
    if any(_again(spec, earlier) for earlier, _ in before):
        return f"the step '{spec.name}' stands there twice"
    later = names[index + 1 :]
    if spec.name == "template" and "split" in later and _is_few_shot(params):
        return "few-shot examples would come from the test split; put split before template"
    if spec.name == "mix" and "split" in later and getattr(params, "max_repeats", 1) > 1:
        return "rows repeated before the split would count twice in the test split; put split before mix"
    if spec.name == "dedup" and "mix" in names[:index]:
        return "dedup after mix would undo the proportions; put dedup before mix"
    if spec.name == "dedup" and "template" in names[:index]:
        return "dedup after template would compare the templates' wording; put dedup before template"
    if spec.name == "dedup" and "label" in names[:index]:
        return "dedup after label would pay for the labels of duplicates; put dedup before label"
    if spec.name == "label" and (early := {"split", "template"} & set(names[:index])):
        step = sorted(early)[0]
        return f"label after {step} could put gold rows into the training split; put label before {step}"
    return None


def _again(spec: StepSpec, earlier: StepSpec) -> bool:
    """Whether a step would do its work on rows where it is done."""
    if spec.name != earlier.name:
        return False
    if spec.name not in _ONCE:
        return spec == earlier
    return spec.sources is None or earlier.sources is None or bool({*spec.sources} & {*earlier.sources})


def _is_few_shot(params: Params) -> bool:
    return bool(getattr(params, "shots", None))


def _where(document: Document | None, keys: Sequence[str | int]) -> str:
    return ".".join(str(key) for key in keys) if document is None else document.where(keys)


def recipe_error(
    error: ValidationError, document: Document | None, prefix: Sequence[str | int], model: type[BaseModel]
) -> RecipeError:
    """One line for the first thing a recipe has wrong.

    Args:
        error: Of the model.
        document: The recipe; None where it was built in Python.
        prefix: Key path of what the model stands for.
        model: Its fields are suggested for an unknown key at the top.
    """
    first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    keys = [*prefix, *_written(first["loc"], document, prefix)]
    hint = None
    if first["type"] == "extra_forbidden":
        owner = _model_at(model, first["loc"][:-1])
        hint = suggest(str(first["loc"][-1]), list(owner.model_fields)) if owner else None
        message = f"unknown key '{first['loc'][-1]}'"
    elif first["type"] == "missing":
        message = f"'{first['loc'][-1]}' is missing"
    else:
        message = first["msg"].removeprefix("Value error, ")
        is_secret = model.model_config.get("hide_input_in_errors")
        if not is_secret and first["type"] != "value_error" and isinstance(first["input"], (str, int, float)):
            message += f", not '{first['input']}'"
    return RecipeError(message, where=_where(document, keys), hint=hint)


def _written(loc: Sequence[str | int], document: Document | None, prefix: Sequence[str | int]) -> list[str | int]:
    """The part of pydantic's location that stands in the file: it also names members of unions."""
    if document is None:
        return list(loc)
    node: Any = document.value
    for key in prefix:
        node = node[key] if _has(node, key) else None
    keys: list[str | int] = []
    for key in loc:
        if _has(node, key):
            keys.append(key)
            node = node[key]
        elif isinstance(node, Mapping) and key == loc[-1]:
            keys.append(key)
    return keys


def _has(node: object, key: str | int) -> bool:
    if isinstance(node, Mapping):
        return key in node
    return isinstance(node, list) and isinstance(key, int) and key < len(node)


def _model_at(annotation: Any, loc: Sequence[str | int]) -> type[BaseModel] | None:
    """The model that stands at a location, found by walking annotations."""
    for key in loc:
        if get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
            continue
        fields = [model.model_fields[str(key)] for model in _models(annotation) if str(key) in model.model_fields]
        if fields:
            annotation = fields[0].annotation
    return next(iter(_models(annotation)), None)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def read_data_recipe(path: Path) -> tuple[DataRecipe, Document]:
    """Reads the data part of a recipe file and checks it; the other parts may be there and are left alone.

    Raises:
        RecipeError: With file, line and key path.
        NewerFormat: Written for a newer version.
    """
    if not path.exists():
        raise RecipeError("no such file", where=path, hint="Write a recipe for a data file with: datakit init FILE")
    document = load_yaml(path)
    value = document.value
    if not isinstance(value, Mapping):
        raise RecipeError("a recipe is a mapping with the key 'data'", where=document.where([]))
    for key in value:
        if key not in TOP_LEVEL:
            raise RecipeError(
                f"unknown key '{key}'", where=document.where([key]), hint=suggest(str(key), list(TOP_LEVEL))
            )
    _check_format(value.get("format", FORMAT), document)
    _check_name(value.get("name"), document)
    if not isinstance(value.get("data"), Mapping):
        raise RecipeError("'data' with its sources is missing", where=document.where(["data"]))
    try:
        recipe = DataRecipe.model_validate(value["data"])
    except ValidationError as error:
        raise recipe_error(error, document, ["data"], DataRecipe) from None
    _checked_steps(recipe, document)
    return recipe, document


def _check_name(value: Any, document: Document) -> None:
    """The name becomes a folder: it must not lead out of ``runs/``."""
    if value is not None and not (isinstance(value, str) and re.fullmatch(NAME, value)):
        raise RecipeError(
            f"'{value}' cannot name a run",
            where=document.where(["name"]),
            hint="Letters, digits, '_', '.', '-', the first a letter or digit",
        )


def _check_format(value: Any, document: Document) -> None:
    if type(value) is not int or value < 1:
        raise RecipeError(f"format is a number, {FORMAT} today, not '{value}'", where=document.where(["format"]))
    if value > FORMAT:
        raise NewerFormat(
            f"a recipe of format {value}, this version reads up to {FORMAT}",
            where=document.where(["format"]),
            hint="Update datakit",
        )
