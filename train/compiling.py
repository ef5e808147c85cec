"""A model's blocks through ``torch.compile``: an option, since its first steps take minutes on a CPU.

Block by block, because blocks of one kind share a compiled form, and with lengths left open, because every step has
others. Attention within packed rows stays outside of the compiled code, and names in the state dict stay.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from train.errors import TrainError

if TYPE_CHECKING:
    import torch

__all__ = ["CompiledBlocks"]

_CLOSE, _CLOSE_16 = 1e-3, 0.1  # nats per token, in float32 and in less
_HINT = "Take compile out; on the CPU it needs a C++ compiler, on a GPU Triton"


class CompiledBlocks:
    """Within the block the model's blocks are compiled on their first call; it may be entered many times.

    Args:
        model: A Hugging Face model, with or without a PEFT adapter.
        backend: Of ``torch.compile``.

    Raises:
        TrainError: The model has no list of blocks.
    """

    def __init__(self, model: Any, *, backend: str = "inductor") -> None:
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        decoder = base.get_decoder() if hasattr(base, "get_decoder") else None
        self._blocks, self._backend = list(getattr(decoder, "layers", ())), backend
        self._compiled: list[Any] = []
        self._allowed = _CLOSE if str(model.dtype) == "torch.float32" else _CLOSE_16
        if not self._blocks:
            raise TrainError("compile: true finds no blocks in this model", hint="Take compile out")

    def check(self, losses: Callable[[], torch.Tensor]) -> None:
        """Compares the losses of some tokens with those of the model as it is.

        Args:
            losses: (tokens,), without dropout.

        Raises:
            TrainError: The model cannot be compiled here, or computes something else then.
        """
        import torch

        with torch.no_grad():
            plain = losses()
            try:
                with self:
                    compiled = losses()
            except Exception as error:  # whatever the compiler or a model's code has to say
                first = str(error).strip().partition("\n")[0][:200] or type(error).__name__
                raise TrainError(f"torch.compile failed: {first}", hint=_HINT) from error
        if plain.shape != compiled.shape or not bool(((plain - compiled).abs() <= self._allowed).all()):
            raise TrainError("compiled, this model has other losses", hint="Take compile out")

    def __enter__(self) -> CompiledBlocks:
        for number, block in enumerate(self._blocks):
            if number < len(self._compiled):
                block._compiled_call_impl = self._compiled[number]
            else:
                block.compile(dynamic=True, backend=self._backend)
                self._compiled.append(block._compiled_call_impl)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for block in self._blocks:
            block._compiled_call_impl = None
