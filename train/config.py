"""What a recipe says about one way to train: an :class:`Arm`. A list of learning rates or steps is a grid."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from datakit.core.secrets import written_key
from train.adapters import ADAPTERS, adapter_named, adapter_options, is_known
from train.backends import LENGTH, Backend, backend_named, read_choice
from train.backends.rewards import reward_digest
from train.objectives import OBJECTIVES, objective_named
from train.retention.settings import L2, SELF, Kl, Replay, TokenMask

__all__ = ["Arm", "Every", "Watching"]

Rate = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, le=10**12)]

_KEYS = "leave it out, programs find theirs in the environment"

# How a step's rows are divided up and what is saved: the sum over the step is the same.
COMPUTING = (
    "batch_size",
    "accumulate",
    "save_every",
    "batch_tokens",
    "packing",
    "checkpointing",
    "compile",
    "track",
)
OBJECTIVE_OPTIONS = ("turns", "turn_weights", "beta", "masked")
ADAPTER_OPTIONS = ("rank", "alpha", "dropout", "targets")


class Every(BaseModel):
    """Checkpoints at a fixed distance.

    Attributes:
        every: Optimizer steps from one to the next.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    every: Count


class Watching(BaseModel):
    """Looking at a training while it runs.

    Attributes:
        every: Optimizer steps from one validation to the next, beside those after every epoch.
        items: Of the general suite, in all, that are asked each time; 200. 0 asks none.
        stop: What the probe measures to its largest allowed value; the training ends where one is passed. Measured are
            ``forgetting`` (by how much the suite's score fell), ``kl``, ``general_loss`` and ``suite``.
        keep: ``last`` saves the last state, ``best`` the one of the lowest validation loss within the limits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    every: Count
    items: int = Field(default=200, ge=0)
    stop: dict[str, float] = Field(default_factory=dict)
    keep: Literal["last", "best"] = "last"


class Arm(BaseModel):
    """One way to train. Everything but the adapter has a default.

    Attributes:
        objective: What is learnt: ``sft`` (default), the answers; ``text``, plain text (continued pre-training);
            ``mlm``, plain text with hidden words, for encoders; ``dpo`` and ``orpo``, to prefer the better of two
            answers. Other names come from the entry-point group ``train.objectives``.
        turns: Which assistant turns ``sft`` trains: the ``last`` (default), or ``all``.
        turn_weights: Weight of the last assistant turn's tokens, of the one before it, and so on; the last number holds
            for all turns further back.
        beta: What preference counts: ``dpo``'s per nat of advantage over the start model, ``orpo``'s of the odds
            ratio; .1.
        masked: Share of the tokens that ``mlm`` hides; .15.
        backend: Who trains: ``native`` (default), our own loop, ``trl``, ``command``, ``mock``, or another name from
            the entry-point group ``train.backends``;
            with settings as ``{command: {run: ...}}``.
        adapter: ``lora`` (default) trains small matrices beside the frozen model, ``rslora`` and ``dora`` likewise;
            ``full`` every weight; ``osf`` the smaller directions of each; ``loreft`` and ``direft`` hidden states of
            the prompt; ``peft:NAME`` is any tuner of PEFT; others come from the entry-point group ``train.adapters``.
        rank: Rank of LoRA and its relatives, 16; of loreft and direft, 8.
        alpha: LoRA's scale is ``alpha / rank``; twice the rank. That of rslora is ``alpha / sqrt(rank)``; 8.
        dropout: LoRA's dropout; 0.
        targets: Modules LoRA stands beside: ``all-linear``, or names as PEFT takes them.
        options: Further settings of the adapter: docs/training.md, and for ``peft:NAME`` those of its configuration.
        learning_rate: Peak rate, or a list; 2e-4 for LoRA, 1e-5 for full (reasons: :mod:`train.adapters`).
        epochs: Passes over the training rows, where ``steps`` is not given; 3.
        steps: Optimizer steps, or a list.
        batch_size: Rows that go through the model at once.
        accumulate: Batches per optimizer step. The loss of a step is the sum over all its trained tokens divided by
            their number, so ``batch_size: 4, accumulate: 4`` equals ``batch_size: 16`` and needs less memory.
        schedule: Course of the rate after the warmup; ``linear`` as in Tulu 3 (arXiv 2411.15124).
        warmup: Share of all steps in which the rate rises from 0; .03 as in Tulu 3.
        weight_decay: AdamW's, on matrices only; 0 as in Tulu 3.
        clip: Largest norm of the gradient; null for no clipping.
        max_length: Longest row in tokens, longer ones lose their end; 2,048 or what the model holds.
        max_truncated: Share of the training rows that may be longer than that; more is refused.
        resize_vocabulary: Let the model grow to the tokenizer's added tokens; ``full`` only.
        precision: ``bfloat16`` computes in bfloat16 while what is trained stays float32; ``auto`` takes it on a GPU
            that has it and float32 everywhere else.
        replay: General data to mix in, or what the start model says by itself.
        kl: Keeps what the start model thought likely: forward KL divergence from it.
        l2: Keeps the weights near the start.
        token_mask: Leaves tokens untrained that surprise the start model.
        watch: A look every so many steps at what was forgotten, which may end the training or choose its best state.
        checkpoints: Intermediate states to keep beside the final one: a number, evenly spaced, or ``{every: 50}``.
        batch_tokens: Tokens that go through the model at once, beside ``batch_size``; the step's rows are the same.
        packing: Rows one behind the other without padding, none seeing another; ``auto`` does so where a check before
            the first step finds it exact.
        checkpointing: Activations are computed again in the backward pass instead of kept: less memory, more time.
        compile: The model's blocks go through ``torch.compile``; the first steps take longer.
        track: Trackers beside the log, such as ``[tensorboard]``; names come from ``train.callbacks``.
        save_every: Optimizer steps from one saved state of the training to the next, so that a killed one goes on
            from there; none by default, but SIGINT and SIGTERM always save one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    objective: str = "sft"
    turns: Literal["last", "all"] | None = None
    turn_weights: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] | None = None
    beta: Rate | None = None
    masked: Annotated[float, Field(gt=0, lt=1)] | None = None
    backend: str | dict[str, dict[str, Any]] = "native"
    adapter: str = "lora"
    rank: Count | None = None
    alpha: Rate | None = None
    dropout: float | None = Field(default=None, ge=0, lt=1)
    targets: str | list[str] | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    learning_rate: Rate | Annotated[list[Rate], Field(min_length=1)] = 0.0  # the adapter's default is put in first
    epochs: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    steps: Count | Annotated[list[Count], Field(min_length=1)] | None = None
    batch_size: Count = 16
    accumulate: Count = 1
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup: float = Field(default=0.03, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: Rate | None = 1.0
    max_length: Annotated[int, Field(ge=2)] | None = None
    max_truncated: float = Field(default=0.1, ge=0, le=1)
    resize_vocabulary: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    replay: Replay | None = None
    kl: Kl | None = None
    l2: L2 | None = None
    token_mask: TokenMask | None = None
    watch: Watching | None = None
    checkpoints: Count | Every | None = None
    save_every: Count | None = None
    batch_tokens: Count | None = None
    packing: bool | Literal["auto"] = "auto"
    checkpointing: bool = False
    compile: bool = False
    track: list[str] = []

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        given = {key: item for key, item in value.items() if item is not None or key == "clip"}
        name = given.get("adapter", "lora")
        if not isinstance(name, str) or not is_known(name):
            raise ValueError(f"adapter: no adapter named '{name}'; known: {', '.join(ADAPTERS.names())}, peft:NAME")
        for place in ("backend", "options"):
            if (key := written_key(given.get(place))) is not None:
                raise ValueError(f"{place}: '{key}' looks like a key, and an arm is copied beside its model; {_KEYS}")
        backend, _ = read_choice(given.get("backend", "native"))
        if backend != "native":
            _refuse_ignored(backend, given)
        objective = given.get("objective", "sft")
        if not isinstance(objective, str) or objective not in OBJECTIVES.names():
            raise ValueError(f"objective: no objective named '{objective}'; known: {', '.join(OBJECTIVES.names())}")
        adapter = adapter_named(name)
        defaults = {key: default.value for key, default in adapter.defaults.items()}
        _check_options(name, given.get("options", {}), adapter_options(adapter))
        options = objective_named(objective).options
        foreign = [key for key in OBJECTIVE_OPTIONS if key in given and key not in options]
        if foreign:
            raise ValueError(f"{foreign[0]}: objective '{objective}' has no such setting")
        defaults |= options
        foreign = [key for key in ADAPTER_OPTIONS if key in given and key not in defaults]
        if foreign:
            raise ValueError(f"{foreign[0]}: adapter '{name}' has no such setting")
        if "epochs" in given and "steps" in given:
            raise ValueError("epochs and steps exclude each other; give one")
        follows = "alpha" in defaults and defaults["alpha"] == 2 * defaults["rank"]
        if follows and "alpha" not in given and isinstance(given.get("rank"), int):
            defaults["alpha"] = 2.0 * given["rank"]
        if "steps" not in given:
            defaults["epochs"] = 3.0
        return {**defaults, **given}

    @model_validator(mode="after")
    def _trainable(self) -> Arm:
        name, settings = self.chosen_backend
        if name != "native" and self.replay is not None and self.replay.source == SELF:
            raise ValueError(f"replay: the start model's own texts are made by our own loop, not by backend '{name}'")
        if name != "native" and (reason := backend_named(name).check(self, settings)):
            raise ValueError(f"backend {name}: {reason}")
        return self

    @property
    def chosen_backend(self) -> tuple[str, Any]:
        """The backend's name and its settings, defaults filled in."""
        return read_choice(self.backend)

    @model_validator(mode="after")
    def _consistent(self) -> Arm:
        if self.turn_weights is not None and self.turns != "all":
            raise ValueError("turn_weights: they need turns: all")
        if self.turn_weights is not None and not self.turn_weights[0]:
            raise ValueError("turn_weights: the last turn's weight, the first of the list, has to be above 0")
        objective = objective_named(self.objective)
        if objective.architecture == "reward" and self.adapter != "full":
            raise ValueError(f"adapter: objective '{self.objective}' adds a layer and trains every weight; give full")
        if self.replay is not None and objective.rows == "pairs":
            raise ValueError(f"replay: objective '{self.objective}' learns from pairs; general text is no pair")
        if self.replay is not None and self.replay.source != SELF and self.replay.prompts is not None:
            raise ValueError("replay: prompts are answered by the start model; they need from: self")
        if self.token_mask is not None and objective.rows != "tokens":
            raise ValueError(f"token_mask: objective '{self.objective}' does not train tokens one by one")
        if self.kl is not None and objective.architecture != "causal":
            raise ValueError(f"kl: objective '{self.objective}' trains no causal model")
        if self.kl is not None and self.kl.source is None and objective.rows != "tokens":
            raise ValueError(f"kl: with objective '{self.objective}' it is taken on general rows; add from: SOURCE")
        return self

    def modules_digest(self, folder: Path) -> str:
        """Hash of what of the user's this arm is trained with: a reward beside the recipe; "" without any."""
        _, settings = self.chosen_backend
        reward = getattr(settings, "reward", None)
        return reward_digest(reward, folder) if isinstance(reward, str) else ""

    @property
    def sources(self) -> dict[str, str]:
        """Key to the name of the source of general rows that it needs, such as ``replay.from``."""
        named: dict[str, str | None] = {}
        if self.replay is not None:
            own = self.replay.source == SELF
            named["replay.prompts" if own else "replay.from"] = self.replay.prompts if own else self.replay.source
        if self.kl is not None:
            named["kl.from"] = self.kl.source
        return {key: name for key, name in named.items() if name is not None}

    def grid(self) -> list[Arm]:
        """All combinations of the lists, each a concrete arm; learning rates vary slowest. ``[self]`` without lists."""
        rates = self.learning_rate if isinstance(self.learning_rate, list) else [self.learning_rate]
        steps = self.steps if isinstance(self.steps, list) else [self.steps]
        return [
            self.model_copy(update={"learning_rate": rate, "steps": count})
            for rate, count in itertools.product(rates, steps)
        ]

    @property
    def training(self) -> dict[str, Any]:
        """What determines the weights, as JSON takes it: without what only divides up the computing or saves it.

        A training that ran out of memory goes on with smaller batches and more of them.
        """
        value: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude=set(COMPUTING))
        if self.chosen_backend[0] != "native":  # an update of ppo is a batch, and another may know no sum over a step
            value |= {"batch_size": self.batch_size, "accumulate": self.accumulate}
        return {**value, "rows_per_step": self.batch_size * self.accumulate}

    @property
    def is_grid(self) -> bool:
        """Whether a choice is still to be made, on validation loss alone."""
        return isinstance(self.learning_rate, list) or isinstance(self.steps, list)


def _check_options(name: str, given: Any, known: Mapping[str, Any] | None) -> None:
    if not isinstance(given, Mapping) or known is None:
        return  # pydantic refuses the first; the second is looked at when the adapter is made
    for option in given:
        if option not in known:
            told = f"it has {', '.join(known)}" if known else "it has none"
            raise ValueError(f"options: adapter '{name}' has no '{option}'; {told}")


def _refuse_ignored(name: str, given: Mapping[str, Any]) -> None:
    """An arm may only set what its backend follows: anything else would be ignored in silence."""
    backend: Backend = backend_named(name)
    if backend.follows is None:
        return
    own = (*adapter_named(given.get("adapter", "lora")).defaults, "options") if backend.loads else ()
    known = LENGTH | backend.follows | {*own}
    fields = Arm.model_fields
    defaults = {key: field.get_default(call_default_factory=True) for key, field in fields.items()}
    if ignored := [key for key in given if key in fields and key not in known and given[key] != defaults[key]]:
        raise ValueError(f"{ignored[0]}: backend '{name}' does not follow this setting")
