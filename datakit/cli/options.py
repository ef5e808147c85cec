"""Options of a command made from a step's own parameters, so that a command takes what a recipe takes."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import click

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = ["StepCommand", "attribute_texts", "is_given", "step_options", "step_params"]

_MARK = "step_"
_LONGEST = 150


class StepCommand(click.Command):
    """A command with an option for each parameter of one or several steps; they are looked up when it is called.

    Args:
        steps: Names as in a recipe, or a function that gives them.
        renamed: Parameter to option, ``{"languages": "language"}``.
        without: Parameters that get no option.
    """

    def __init__(
        self,
        *args: Any,
        steps: Sequence[str] | Callable[[], Sequence[str]] = (),
        renamed: Mapping[str, str] = types.MappingProxyType({}),
        without: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.steps, self.renamed, self.without = steps, dict(renamed), frozenset(without)
        self.made: list[click.Parameter] | None = None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Arguments, then the steps' options, then those written at the command."""
        if self.made is None:
            self.made = []
            from datakit.recipe import STEPS

            taken = {name for param in self.params for name in param.opts}
            steps = self.steps() if callable(self.steps) else self.steps
            for step in steps:
                for option in step_options(step, STEPS.load(step).Params, self.renamed, self.without, taken):
                    if len(steps) > 1:  # whose option it is
                        option.help = f"{step}: {option.help}" if option.help else f"{step}."
                    taken.update(option.opts)
                    self.made.append(option)
        own = super().get_params(ctx)
        arguments = [param for param in own if isinstance(param, click.Argument)]
        return [*arguments, *self.made, *(param for param in own if param not in arguments)]


def step_options(
    step: str,
    model: type[BaseModel],
    renamed: Mapping[str, str],
    without: frozenset[str],
    taken: Collection[str] = (),
) -> list[click.Parameter]:
    """An option for each field whose type a command line can say; a name that is taken gets the step's before it."""
    texts = attribute_texts(model)
    found: list[click.Parameter] = []
    for name, field in model.model_fields.items():
        kind = _kind(field.annotation)
        if name in without or kind is None:
            continue
        option = "--" + renamed.get(name, name).replace("_", "-")
        if option in taken:
            option = f"--{step}-{option[2:]}"
        default = field.get_default(call_default_factory=True) if not field.is_required() else None
        shown = _shown(default)
        found.append(
            click.Option(
                [f"{option}/--no-{option[2:]}" if kind is bool else option, f"{_MARK}{step}_{name}"],
                type=None if kind in (bool, tuple) else kind,
                multiple=kind is tuple,
                default=() if kind is tuple else None,
                help=texts.get(name, "") + (f"  [default: {shown}]" if shown else ""),
                metavar="TEXT[,...]" if kind is tuple else None,
            )
        )
    return found


def _kind(annotation: Any) -> Any:
    """``tuple`` for several texts, a click type or Python type for one value, None where neither fits."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        inner = [_kind(item) for item in get_args(annotation) if item is not type(None)]
        return tuple if tuple in inner else next((kind for kind in inner if kind is not None), None)
    if origin is Literal:
        values = get_args(annotation)
        return click.Choice(values) if all(isinstance(value, str) for value in values) else None
    if origin in (tuple, list):
        return tuple if _is_text(next(iter(get_args(annotation)), None)) else None
    return annotation if annotation in (str, int, float, bool) else None


def _is_text(annotation: Any) -> bool:
    """A text, or one of some texts."""
    if get_origin(annotation) is Literal:
        return all(isinstance(value, str) for value in get_args(annotation))
    return annotation is str


def _shown(default: Any) -> str:
    if isinstance(default, (list, tuple)):
        return ",".join(map(str, default))
    return "" if default is None or default is False else str(default)


def attribute_texts(model: type) -> dict[str, str]:
    """What the docstring of a model says of each attribute, shortened to what a help page holds."""
    section = (model.__doc__ or "").partition("Attributes:")[2]
    found: dict[str, str] = {}
    for name, text in re.findall(r"^ {8}(\w+): (.*?)(?=^ {8}\w+: |\Z)", section, flags=re.M | re.S):
        words = " ".join(text.replace("``", "").replace("*", "").split())
        first = re.match(r".*?[.;](?= |$)", words)
        short = words if first is None or len(words) <= _LONGEST else first[0].rstrip(";.") + "."
        found[name] = short
    return found


def is_given(step: str, given: Mapping[str, Any]) -> bool:
    """Whether a call says anything about a step."""
    return any(name.startswith(f"{_MARK}{step}_") and value not in (None, ()) for name, value in given.items())


def step_params(step: str, model: type[BaseModel], given: Mapping[str, Any], **more: Any) -> Any:
    """The step's parameters from what click collected; what was not given keeps its default.

    Raises:
        click.UsageError: The step does not take a value.
    """
    from pydantic import ValidationError

    values: dict[str, Any] = {name: value for name, value in more.items() if value is not None}
    for name in model.model_fields:
        value = given.get(f"{_MARK}{step}_{name}")
        if value is None or value == ():
            continue
        if isinstance(value, tuple):
            value = [item for part in value for item in str(part).split(",") if item]
        values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise click.UsageError(_said(error)) from None


def _said(error: ValidationError) -> str:
    first = error.errors(include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
    message = first["msg"].removeprefix("Value error, ")
    return f"--{place.replace('_', '-')}: {message}" if place else message
