"""Who trains: our own loop, another library, another program. One file per backend, a registry of names.

A backend is handed encoded rows and writes weights into an empty folder. What comes before (rendering, masking, the
checks on rows) and after (what was written loads, is finite and differs from the base; validation loss, manifest, model
card) is the same for all, so that a result can be compared whoever trained it.

``native`` is our own loop and stands beside the others in a recipe; :func:`train.fit` runs it itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from datakit.core.registry import Registry, suggest

if TYPE_CHECKING:
    from datakit.core.chat import ChatSettings
    from train.config import Arm
    from train.data import Stream
    from train.events import Event
    from train.prepare import Prepared
    from train.states import States

__all__ = ["BACKENDS", "LENGTH", "Backend", "BackendSettings", "Job", "Outcome", "backend_named", "read_choice"]

BACKENDS = Registry(
    "train.backends",
    {
        "command": "train.backends.command:Command",
        "mock": "train.backends.mock:Mock",
        "native": "train.backends.native:Native",
        "ppo": "train.backends.ppo:Ppo",
        "trl": "train.backends.trl:Trl",
    },
)

#: Settings of an arm that every backend follows: they shape the rows it is handed, or say how long it trains.
LENGTH = frozenset(
    {
        "objective",
        "adapter",
        "backend",
        "epochs",
        "steps",
        "batch_size",
        "accumulate",
        "max_length",
        "max_truncated",
        "replay",
        "track",
        "turns",
    }
)


class BackendSettings(BaseModel):
    """Settings of a backend's own; a key that is not there is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Job:
    """What there is to train.

    Attributes:
        arm: A concrete arm.
        settings: The backend's own, an instance of its ``Params``.
        ready: Tokenizer, encoded rows, folder of the base, stop tokens.
        name: The model as the user named it.
        chat: Chat settings.
        seed: Of everything random.
        steps: Optimizer steps to do.
        stream: Rows of every step, replay among them.
        bfloat16: Compute in bfloat16.
        work: A folder for files on the way, made for this job and removed at its end.
        log: Where another program's output may go; it outlives the job.
        imports: Where the user's own modules lie: the folder of the recipe.
        load: Gives the model with the arm's adapter, in evaluation mode on its device; exactly what is trained has
            ``requires_grad``.
        write: Writes a model that ``load`` gave, trained, into a folder.
        report: Receives :class:`train.events.StepDone`.
        states: Saved states of this training; what follows ``save_every`` uses them (:mod:`train.resuming`).
        keep: Told of a step that is done and of the model, it keeps those weights that ``checkpoints`` names.
    """

    arm: Arm
    settings: Any
    ready: Prepared
    name: str
    chat: ChatSettings
    seed: int
    steps: int
    stream: Stream
    bfloat16: bool
    work: Path
    log: Path
    imports: Path
    load: Callable[[], Any]
    write: Callable[[Any, Path], None]
    report: Callable[[Event], None]
    states: States
    keep: Callable[[int, Any], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a backend tells of its training.

    Attributes:
        seconds: Of training, without loading and saving.
        trained_tokens: Tokens trained; 0 where it is not known.
        tokens: All that went through the model; 0 where it is not known.
        history: Per logging step ``step`` and ``loss``, and whatever else it measured.
        versions: Of the libraries that trained, by name.
        peak_memory: Bytes on the GPU at most, where known.
    """

    seconds: float
    trained_tokens: int = 0
    tokens: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    versions: Mapping[str, str] = field(default_factory=dict)
    peak_memory: int | None = None


class Backend(Protocol):
    """Trains.

    Attributes:
        Params: Its own settings, :class:`BackendSettings` for none.
        follows: Settings of an arm it follows, beside :data:`LENGTH`; an arm that sets another is refused, because it
            would be ignored in silence. None where it follows all.
        loads: It trains what ``job.load`` gives, and so follows every setting of the arm's adapter.
    """

    Params: ClassVar[type[BaseModel]]
    follows: ClassVar[frozenset[str] | None]
    loads: ClassVar[bool]

    def check(self, arm: Arm, settings: Any) -> str | None:
        """Why it cannot train this arm; None where it can. Called when the recipe is read."""
        ...

    def train(self, job: Job, folder: Path) -> Outcome:
        """Trains and writes weights into an empty folder: a whole model, or an adapter in PEFT's form.

        Raises:
            TrainError: It failed.
        """
        ...


def backend_named(name: str) -> Backend:
    """The backend of that name."""
    backend: Backend = BACKENDS.load(name)()
    return backend


def read_choice(written: Any) -> tuple[str, Any]:
    """The backend's name and its settings, from ``trl`` or ``{trl: {trainer: grpo}}``.

    Raises:
        ValueError: Neither form, no such backend, or settings it does not take.
    """
    if isinstance(written, Mapping) and len(written) == 1:
        name, settings = next(iter(written.items()))
    else:
        name, settings = written, None
    if not isinstance(name, str):
        raise ValueError("backend: a name is wanted, or a name with settings such as {command: {run: ...}}")
    if name not in BACKENDS.names():
        raise ValueError(f"backend: no backend named '{name}'; {suggest(name, BACKENDS.names())}")
    try:
        return name, BACKENDS.load(name).Params.model_validate(settings or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(["backend", name, *map(str, first["loc"])])
        raise ValueError(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None
