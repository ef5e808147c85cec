"""The last layer's feed-forward network, computed where a token is trained and nowhere else.

After the last attention nothing mixes tokens, and the output layer reads the trained places alone, so what the network
makes of the others has no effect on the loss and no gradient. With completion-only training that is half the work of a
layer, or more. It is tried out on the model first: one that mixes tokens after its last layer is left alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["LastNetwork", "places_seen", "seen_only_at"]

_MOST = 0.8  # share of trained tokens above which gathering and scattering cost what they save
_CLOSE, _CLOSE_16 = 1e-5, 1e-2  # nats, in float32 and in less

_places: ContextVar[torch.Tensor | None] = ContextVar("places", default=None)


@contextlib.contextmanager
def seen_only_at(positions: torch.Tensor) -> Iterator[None]:
    """Tells networks within that only these places of the flattened (rows * tokens) are looked at."""
    token = _places.set(positions)
    try:
        yield
    finally:
        _places.reset(token)


def places_seen(tokens: int) -> torch.Tensor | None:
    """The places that :func:`seen_only_at` says, where they are few enough of so many to gather them."""
    places = _places.get()
    return None if places is None or not 0 < places.numel() <= _MOST * tokens else places


class LastNetwork:
    """Within the block the network sees what :func:`seen_only_at` says; the backward pass may lie outside.

    Not for activation checkpointing, which runs the network a second time when nobody says it any more.

    Args:
        model: A Hugging Face model, with or without a PEFT adapter.
    """

    def __init__(self, model: Any) -> None:
        self._network, self._single = _network(model), str(model.dtype) == "torch.float32"
        self._handles: list[Any] = []

    def exact(self, losses: Callable[[], torch.Tensor]) -> bool:
        """Whether there is such a network, and the losses within the block are those outside it.

        Args:
            losses: Of some tokens, (tokens,), without dropout.
        """
        import torch

        if self._network is None:
            return False
        try:
            with torch.no_grad():
                whole = losses()
                with self:
                    narrow = losses()
        except (TypeError, ValueError, RuntimeError, IndexError):
            return False
        allowed = _CLOSE if self._single else _CLOSE_16
        return whole.shape == narrow.shape and bool(((whole - narrow).abs() <= allowed * (1 + whole.abs())).all())

    def __enter__(self) -> LastNetwork:
        network = self._network
        shapes: list[tuple[torch.Size, torch.Tensor] | None] = []

        def narrow(_: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
            places = places_seen(arguments[0].shape[:-1].numel()) if len(arguments) == 1 else None
            if places is None:
                shapes.append(None)
                return None
            shapes.append((arguments[0].shape, places))
            return (arguments[0].flatten(0, -2).index_select(0, places)[None],)

        def widen(_: Any, __: Any, found: Any) -> Any:
            shape = shapes.pop()
            if shape is None:
                return None
            whole = found.new_zeros(shape[0].numel() // shape[0][-1], found.shape[-1])
            return whole.index_copy(0, shape[1], found[0]).view(*shape[0][:-1], -1)

        if network is not None:
            self._handles = [network.register_forward_pre_hook(narrow), network.register_forward_hook(widen)]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []


def _network(model: Any) -> Any | None:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    decoder = base.get_decoder() if hasattr(base, "get_decoder") else None
    layers = getattr(decoder, "layers", None)
    return getattr(layers[-1], "mlp", None) if layers is not None and len(layers) else None
