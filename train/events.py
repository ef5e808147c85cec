"""What training tells while it runs; the command line draws it, a test collects it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = [
    "Checked",
    "Event",
    "Finished",
    "Flat",
    "Packing",
    "Preflight",
    "Progress",
    "Resumed",
    "Started",
    "StepDone",
    "Stopped",
    "Validated",
    "Watched",
    "step_course",
]


@dataclass(frozen=True, slots=True)
class Preflight:
    """A few rows as the model will see them.

    Attributes:
        rows: Per row its pieces of text, each with whether it is trained.
        truncated: Rows that lost their end.
        dropped: Rows left out, because their whole answer lay behind the longest length.
        max_length: That length, in tokens.
    """

    rows: list[list[tuple[str, bool]]]
    truncated: int
    dropped: int
    max_length: int


@dataclass(frozen=True, slots=True)
class Checked:
    """One check was made; what must not be has ended the training with an error instead.

    Attributes:
        check: Its name.
        passed: Nothing is to be said.
        text: What was looked at, or what is wrong.
    """

    check: str
    passed: bool
    text: str


@dataclass(frozen=True, slots=True)
class Started:
    """All is loaded and checked.

    Attributes:
        rows: Counts of rows by role: train, validation, replay; truncated and dropped of train.
        steps: Optimizer steps to come.
        trainable_parameters: Parameters that are trained.
        total_parameters: All parameters, the adapter's included.
        device: ``cpu`` or the GPU's name.
        precision: ``float32`` or ``bfloat16``.
    """

    rows: Mapping[str, int]
    steps: int
    trainable_parameters: int
    total_parameters: int
    device: str
    precision: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """Saved states of this training were found.

    Attributes:
        step: Optimizer steps done before; 0 where no state is whole, so that it begins anew.
        steps: Of how many.
        damaged: States that are not whole; the newest whole one is taken.
    """

    step: int
    steps: int
    damaged: list[str]


@dataclass(frozen=True, slots=True)
class Stopped:
    """A signal ends the training after this step; the same call goes on from here.

    Attributes:
        step: Optimizer steps done.
        steps: Of how many.
        signal: Its name.
    """

    step: int
    steps: int
    signal: str


@dataclass(frozen=True, slots=True)
class StepDone:
    """One logging step.

    Attributes:
        step: Optimizer steps done.
        steps: Of how many.
        loss: Mean nats per trained token since the last logging step.
        learning_rate: The rate of this step.
        gradient_norm: Before clipping.
        trained_tokens: Trained tokens so far.
        tokens: Tokens that went through the model so far, without padding.
        seconds: Spent training so far.
        tokens_per_second: Through the model so far, without padding.
        memory: Bytes: on a GPU the most that was allocated, on the CPU what the process holds now.
        seconds_left: Of training, at the pace so far.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    gradient_norm: float
    trained_tokens: int
    tokens: int
    seconds: float
    tokens_per_second: float = 0.0
    memory: int = 0
    seconds_left: float = 0.0


@dataclass(frozen=True, slots=True)
class Flat:
    """The loss has not fallen since the beginning; said once, and the training goes on.

    Attributes:
        step: Optimizer steps done.
        first: Mean loss of the first third of them.
        last: Of the last third.
    """

    step: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Packing:
    """Whether rows are packed.

    Attributes:
        packed: They stand one behind the other, none seeing another.
        why: Why not, where they do not.
    """

    packed: bool
    why: str


@dataclass(frozen=True, slots=True)
class Validated:
    """The validation split was measured.

    Attributes:
        step: Optimizer steps done.
        loss: Mean nats per trained token; None without a validation split.
        probe: What the probe measured.
    """

    step: int
    loss: float | None
    probe: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Watched:
    """A watched training ended early, or not its last state is kept.

    Attributes:
        step: Optimizer steps done.
        steps: Of how many.
        kept: Step of the state that is kept.
        why: Which limit was passed; None where it went to its end.
    """

    step: int
    steps: int
    kept: int
    why: str | None


@dataclass(frozen=True, slots=True)
class Finished:
    """The model is saved.

    Attributes:
        seconds: Of training, without loading and saving.
        trained_tokens: Trained tokens.
        tokens: All tokens that went through the model, without padding.
    """

    seconds: float
    trained_tokens: int
    tokens: int


Event = Preflight | Checked | Started | Resumed | Packing | StepDone | Flat | Validated | Watched | Stopped | Finished
Progress = Callable[[Event], None]


def step_course(event: StepDone) -> str:
    """How a step went, for a line of 80 columns: loss, time left, pace, memory; what is not known is left out."""
    minutes, seconds = divmod(round(event.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    left = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    pace = event.tokens_per_second
    shown = f"{pace:,.0f}" if pace < 10_000 else f"{pace / 1000:,.0f}k"
    parts = [f"loss {event.loss:.3f}", f"{left} left" if event.seconds_left or event.step == event.steps else ""]
    parts += [f"{shown} tok/s" if pace else "", f"{event.memory / 1e9:.1f} GB" if event.memory else ""]
    return " · ".join(part for part in parts if part)
