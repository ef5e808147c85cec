"""Interventions on the residual stream: LoReFT and DiReFT (Wu et al., arXiv 2404.03592). Import it inside functions.

After a block, at the first p and the last s tokens of the prompt, the hidden state h (of size d) becomes

    LoReFT    h + R^T (W h + b - R h)        R: (r, d), rows orthonormal; W: (r, d); b: (r)
    DiReFT    h + V^T (W h + b)              V, W: (r, d); b: (r)

in float32, with 2 r d + r parameters per intervention. Tokens after the prompt are left alone: in a generation the
prompt is changed once, when it is read, and what follows looks at its keys and values.

A folder holds ``reft_config.json`` and ``reft.safetensors``. The parts hang in the model itself, as ``model.reft``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from datakit.core.adapters import REFT_CONFIG
from datakit.core.errors import ModelError
from datakit.core.storage import write_json

__all__ = [
    "Direft",
    "Loreft",
    "Reft",
    "ReftConfig",
    "Span",
    "attach",
    "blocks",
    "detach",
    "orthonormal_rows",
    "prompts",
    "read",
    "write",
]

#: Row of the batch, first token of a prompt, and the token behind its last one.
Span = tuple[int, int, int]

_WEIGHTS = "reft.safetensors"
_told: ContextVar[Sequence[Span] | None] = ContextVar("prompts", default=None)


@contextlib.contextmanager
def prompts(spans: Sequence[Span]) -> Iterator[None]:
    """Tells every forward pass in the block where its prompts are; a packed row may hold several.

    Without it a pass takes all its tokens for the prompt (padding left out), or none where it continues from a cache.
    """
    token = _told.set(spans)
    try:
        yield
    finally:
        _told.reset(token)


@dataclass(frozen=True, slots=True)
class ReftConfig:
    """What stands where.

    Attributes:
        method: Which of the two equations.
        rank: r.
        layers: Blocks, counted from 0, after which h is changed.
        first: Tokens at the beginning of a prompt.
        last: Tokens at its end. A prompt shorter than both together is shared out between them, half each.
        tied: Whether both ends have the same parameters.
        base_model_name_or_path: The model it was trained over, as the user named it.
    """

    method: Literal["loreft", "direft"]
    rank: int
    layers: tuple[int, ...]
    first: int
    last: int
    tied: bool
    base_model_name_or_path: str = ""

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the sets of parameters of one layer."""
        if self.tied:
            return ("both",)
        return tuple(name for name, count in (("first", self.first), ("last", self.last)) if count)

    def places(self, spans: Sequence[Span]) -> dict[str, tuple[list[int], list[int]]]:
        """Rows and places of the tokens that each set of parameters changes."""
        found: dict[str, tuple[list[int], list[int]]] = {name: ([], []) for name in self.groups}
        for row, start, stop in spans:
            length = stop - start
            first, last = self.first, self.last
            if first + last > length:
                first = min(first, max(length // 2, length - last))
                last = min(last, length - first)
            for name, at in (("first", range(start, start + first)), ("last", range(stop - last, stop))):
                rows, places = found["both" if self.tied else name] if at else ([], [])
                rows += [row] * len(at)
                places += at
        return found


def orthonormal_rows(matrix: torch.Tensor) -> torch.Tensor:
    """The matrix with its rows made orthonormal, by QR of its transpose; one that is so already stays as it is."""
    q, r = torch.linalg.qr(matrix.mT)
    rows: torch.Tensor = (q * torch.where(r.diagonal() < 0, -1.0, 1.0)).mT
    return rows


class Loreft(nn.Module):
    """h + R^T (W h + b - R h). ``basis`` is any matrix; R are its rows, made orthonormal."""

    def __init__(self, size: int, rank: int, *, identity: bool = False) -> None:
        super().__init__()
        self.basis = nn.Parameter(orthonormal_rows(torch.randn(rank, size)))
        self.source = nn.Linear(size, rank)
        if identity:  # W = R and b = 0
            with torch.no_grad():
                self.source.weight.copy_(orthonormal_rows(self.basis))
                self.source.bias.zero_()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states of shape (tokens, size), float32."""
        rotation = orthonormal_rows(self.basis)
        edited: torch.Tensor = hidden + (self.source(hidden) - hidden @ rotation.mT) @ rotation
        return edited


class Direft(nn.Module):
    """h + V^T (W h + b)."""

    def __init__(self, size: int, rank: int, *, identity: bool = False) -> None:
        super().__init__()
        self.basis = nn.Parameter(orthonormal_rows(torch.randn(rank, size)))
        self.source = nn.Linear(size, rank)
        if identity:
            nn.init.zeros_(self.basis)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states of shape (tokens, size), float32."""
        edited: torch.Tensor = hidden + self.source(hidden) @ self.basis
        return edited


class Reft(nn.Module):
    """All interventions of one model.

    Args:
        config: What stands where.
        size: Of a hidden state.
        identity: Start so that nothing is changed.
    """

    def __init__(self, config: ReftConfig, size: int, *, identity: bool = False) -> None:
        super().__init__()
        self.config = config
        kind = {"loreft": Loreft, "direft": Direft}[config.method]
        self.parts = nn.ModuleDict(
            {
                f"layer{layer}_{name}": kind(size, config.rank, identity=identity)
                for layer in config.layers
                for name in config.groups
            }
        )
        self.handles: list[Any] = []
        self._where: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self._off = False

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        """Nothing is changed within it."""
        before, self._off = self._off, True
        try:
            yield
        finally:
            self._off = before

    def kept(self) -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
        """For ``context_fn`` of activation checkpointing: a block computed again changes what it changed before.

        Other passes may lie between the two, such as one with nothing changed.
        """
        return contextlib.nullcontext(), _Again(self, self._where)

    def look(self, _model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before a pass: finds the tokens to change."""
        told = _told.get()
        spans = [] if self._off else told if told is not None else _whole(args, kwargs)
        device = next(self.parameters()).device
        self._where = {
            name: (torch.tensor(rows, device=device), torch.tensor(at, device=device))
            for name, (rows, at) in self.config.places(spans).items()
            if rows
        }

    def change(self, layer: int, output: Any) -> Any:
        """After a block: its output with the tokens changed."""
        hidden = output if isinstance(output, torch.Tensor) else output[0]
        for name, place in self._where.items():
            with torch.autocast(hidden.device.type, enabled=False):
                edited = self.parts[f"layer{layer}_{name}"](hidden[place].float())
            hidden = hidden.index_put(place, edited.to(hidden.dtype))
        return hidden if isinstance(output, torch.Tensor) else (hidden, *output[1:])


class _Again:
    """The places of an earlier pass, within a block; as often as it is entered."""

    def __init__(self, reft: Reft, where: dict[str, tuple[torch.Tensor, torch.Tensor]]) -> None:
        self._reft, self._held = reft, where

    def __enter__(self) -> None:
        self._held, self._reft._where = self._reft._where, self._held

    def __exit__(self, *_: object) -> None:
        self._held, self._reft._where = self._reft._where, self._held


def _whole(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Span]:
    cache = kwargs.get("past_key_values", kwargs.get("cache"))
    if cache is not None and int(cache.get_seq_length()):
        return []
    ids = next(value for value in (*args, kwargs.get("input_ids"), kwargs.get("inputs_embeds")) if value is not None)
    mask = kwargs.get("attention_mask")
    if mask is None or mask.ndim != 2:
        return [(row, 0, ids.shape[1]) for row in range(ids.shape[0])]
    kept = [torch.nonzero(row).flatten() for row in mask]
    return [(row, int(at[0]), int(at[-1]) + 1) for row, at in enumerate(kept) if len(at)]


def blocks(model: Any) -> Sequence[nn.Module]:
    """The model's blocks, in order.

    Raises:
        ModelError: They are not found.
    """
    text = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    for part in model.modules():
        if isinstance(part, nn.ModuleList) and len(part) == text.num_hidden_layers:
            return list(part)
    raise ModelError(f"no list of {text.num_hidden_layers} blocks in {type(model).__name__}: nothing to intervene on")


def attach(
    model: Any, config: ReftConfig, tensors: Mapping[str, torch.Tensor] | None = None, *, identity: bool = False
) -> Any:
    """Hangs interventions into the model; with tensors they are those of an earlier training.

    Raises:
        ModelError: The model has no such layers, or the tensors belong to another one.
    """
    found = blocks(model)
    if wrong := [layer for layer in config.layers if not 0 <= layer < len(found)]:
        raise ModelError(f"no layer {wrong[0]}: the model has {len(found)}, counted from 0")
    reft = Reft(config, model.get_input_embeddings().embedding_dim, identity=identity)
    if tensors is not None:
        try:
            reft.load_state_dict(dict(tensors))
        except RuntimeError as error:
            line = " ".join(str(error).split())[:200]
            raise ModelError(f"the adapter does not fit this base: {line}") from error
    model.reft = reft.to(model.device)
    reft.handles.append(model.register_forward_pre_hook(reft.look, with_kwargs=True))
    for layer in config.layers:

        def change(_block: Any, _args: Any, output: Any, layer: int = layer) -> Any:
            return reft.change(layer, output)

        reft.handles.append(found[layer].register_forward_hook(change))
    return model


def detach(model: Any) -> Any:
    """Takes them off again."""
    for handle in model.reft.handles:
        handle.remove()
    del model.reft
    return model


def write(model: Any, folder: Path) -> None:
    """Writes reft_config.json and reft.safetensors."""
    from safetensors.torch import save_file

    tensors = {name: value.detach().cpu().contiguous() for name, value in model.reft.state_dict().items()}
    save_file(tensors, folder / _WEIGHTS, {"format": "pt"})
    write_json(folder / REFT_CONFIG, asdict(model.reft.config), format=1)


def read(folder: Path) -> tuple[ReftConfig, dict[str, torch.Tensor]]:
    """What :func:`write` wrote.

    Raises:
        ModelError: Not readable.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        value = json.loads((folder / REFT_CONFIG).read_bytes())
        value.pop("format", None)
        config = ReftConfig(**{**value, "layers": tuple(value["layers"])})
        return config, load_file(folder / _WEIGHTS)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, SafetensorError) as error:
        raise ModelError(f"no readable adapter ({' '.join(str(error).split())[:200]})", where=folder) from error
