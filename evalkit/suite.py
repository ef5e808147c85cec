"""What is evaluated: a suite of tasks, read from a YAML file, from registered names or from lm-eval's own tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datakit.core.chat import ChatSettings
from datakit.core.registry import Registry, suggest
from datakit.core.yaml import Document, load_yaml
from evalkit.builtin import builtin_source
from evalkit.errors import EvalError
from evalkit.source import Setup, TaskSource
from evalkit.taskfile import ConfigSource, read_config, with_includes
from evalkit.thinking import THINKING, ThinkingSource

__all__ = ["SUITES", "Suite", "SuiteTask", "load_suite"]

_DATA = {".csv", ".tsv", ".json", ".jsonl", ".parquet"}

SUITES = Registry(
    "evalkit.suites",
    {"retain-core": "evalkit.suites:retain_core", "retain-korean": "evalkit.suites:retain_korean"},
)


@dataclass(frozen=True, slots=True)
class SuiteTask:
    """One task and what a comparison must know of it.

    Attributes:
        name: As reports name it.
        source: Where its items and prompts come from.
        kind: ``general`` (in the gate), ``gain`` (the user's own task) or ``drift`` (cross-entropy; never the gate).
        metric: Primary metric; "" takes the task's own: acc, exact_match or the first.
        filter: Primary filter of lm-eval; "" takes the first.
        chance: Expected score of guessing; None takes one over the number of options, or 0 for open answers.
        margin: Loss called tolerable, in points of the score.
        limit: Number of items, the first ones; None takes all.
        num_fewshot: Examples before each item; None leaves it to the task.
        chat: ``auto`` follows the chat settings, ``none`` shows the plain text to a chat model too.
        description: One line for the report.
        private: Texts are replaced by hashes in the log.
    """

    name: str
    source: TaskSource
    kind: Literal["general", "gain", "drift"] = "general"
    metric: str = ""
    filter: str = ""
    chance: float | None = None
    margin: float = 0.02
    limit: int | None = None
    num_fewshot: int | None = None
    chat: Literal["auto", "none"] = "auto"
    description: str = ""
    private: bool = False

    def setup(self, tokenizer: Any, chat: ChatSettings, seed: int) -> Setup:
        """What the source needs to make lm-eval's task."""
        chat = chat if self.chat == "auto" else chat.model_copy(update={"template": "none"})
        return Setup(tokenizer=tokenizer, chat=chat, seed=seed, num_fewshot=self.num_fewshot)


@dataclass(frozen=True, slots=True)
class Suite:
    """Tasks that are evaluated together.

    Attributes:
        name: File name of the log.
        tasks: With distinct names.
        description: One line.
        margin: Loss called tolerable where a task states no other.
        margin_reason: Why that much; stands in the report.
        alpha: Level of the suite's Holm correction.
    """

    name: str
    tasks: tuple[SuiteTask, ...]
    description: str = ""
    margin: float = 0.02
    margin_reason: str = ""
    alpha: float = 0.05

    def __post_init__(self) -> None:
        names = [task.name for task in self.tasks]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise EvalError(f"suite '{self.name}' names the task '{twice[0]}' twice", hint="Give one of them a `name`")
        if not names:
            raise EvalError(f"suite '{self.name}' has no tasks")


class _Entry(BaseModel):
    """One task of a suite file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str | dict[str, Any]
    name: str | None = None
    kind: Literal["general", "drift"] = "general"
    metric: str = ""
    filter: str = ""
    chance: float | None = Field(default=None, ge=0, lt=1)
    margin: float | None = Field(default=None, ge=0, le=1)
    limit: int | None = Field(default=None, ge=1)
    num_fewshot: int | None = Field(default=None, ge=0)
    chat: Literal["auto", "none"] = "auto"
    description: str = ""


class _File(BaseModel):
    """A suite file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1]
    name: str = Field(pattern=r"^[\w.-]+$")
    description: str = ""
    margin: float = Field(default=0.02, ge=0, le=1)
    margin_reason: str = ""
    alpha: float = Field(default=0.05, gt=0, lt=1)
    tasks: list[_Entry] = Field(min_length=1)


def load_suite(ref: str | Path | Sequence[str | Path]) -> Suite:
    """Reads a suite.

    Args:
        ref: A registered name (entry points ``evalkit.suites``), the path of a suite file, or a list of lm-eval task
            names and task files.

    Raises:
        EvalError: Unknown name, missing data file, a task file that is not usable.
        RecipeError: The file is not valid; with file, line and key.
    """
    if not isinstance(ref, str | Path):
        return Suite("tasks", tuple(_from_name(str(item), Path()) for item in ref))
    path = Path(ref)
    if path.is_file() and {*path.suffixes} & _DATA:
        raise EvalError(
            "this file holds data, and a suite is a YAML file that names tasks",
            where=path,
            hint="Name the data in a suite (docs/suites.md), or build it and take its test split (.parquet)",
        )
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return _read(path)
    if str(ref) not in SUITES.names():
        raise EvalError(
            f"no suite named '{ref}'",
            hint=f"Give a file, a list of lm-eval tasks, or a name. {suggest(str(ref), SUITES.names())}",
        )
    return _read(Path(SUITES.load(str(ref))()))


def _read(path: Path) -> Suite:
    document = load_yaml(path)
    if not isinstance(document.value, dict):
        raise EvalError("a suite is a mapping with `format`, `name` and `tasks`", where=path)
    try:
        file = _File.model_validate(document.value)
    except ValidationError as error:
        first = error.errors()[0]
        keys = tuple(key for key in first["loc"] if not str(key).startswith(("str", "dict[")))
        raise EvalError(f"{first['msg']} (got {first['input']!r:.60})", where=document.where(keys)) from None
    tasks = [_task(entry, file, document, at) for at, entry in enumerate(file.tasks)]
    return Suite(file.name, tuple(tasks), file.description, file.margin, file.margin_reason, file.alpha)


def _task(entry: _Entry, file: _File, document: Document, at: int) -> SuiteTask:
    where = document.where(("tasks", at, "task"))
    if isinstance(entry.task, str):
        made = _from_name(entry.task, document.path.parent, where=where)
    else:
        config = with_includes(entry.task, document.path.parent)
        if entry.kind == "drift":
            config = {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}"} | config
        made = _from_config(ConfigSource.make(config, folder=document.path.parent, where=where))
    kind: Literal["general", "drift"] = entry.kind
    chosen = {key: value for key in ("chance", "limit", "num_fewshot") if (value := getattr(entry, key)) is not None}
    return replace(
        made,
        name=entry.name or made.name,
        kind=kind,
        metric=entry.metric or ("nll_per_token" if kind == "drift" else made.metric),
        filter=entry.filter or made.filter,
        margin=file.margin if entry.margin is None else entry.margin,
        chat=entry.chat,
        description=entry.description or made.description,
        **chosen,
    )


def _from_config(source: ConfigSource) -> SuiteTask:
    return SuiteTask(name=source.name, source=source)


def _from_name(name: str, folder: Path, *, where: str | None = None) -> SuiteTask:
    if Path(name).suffix in (".yaml", ".yml"):
        path = folder / name
        return _from_config(ConfigSource.make(read_config(path), folder=path.parent, where=str(path)))
    if name == THINKING:
        return SuiteTask(name=name, source=ThinkingSource(), metric="thinks", filter="none", chance=0.0)
    return SuiteTask(name=name, source=builtin_source(name, where=where))
