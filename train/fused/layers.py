"""Decoder layers of a model, each as one function while a block runs (:mod:`train.fused.layer`)."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from train.attention import DocumentAttention
from train.fused.last import places_seen

if TYPE_CHECKING:
    import torch

    from train.fused.layer import LayerShape, Scratch

__all__ = ["FusedLayers"]

_CLOSE, _CLOSE_IN_ALL = 1e-5, 1e-4  # of the largest value, after a layer and after all of them
_WIDEST = 1024  # wider layers are products and little else
_NORMS = ("input_layernorm", "post_attention_layernorm")
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_NETWORK = ("gate_proj", "up_proj", "down_proj")


class FusedLayers:
    """Within the block packed batches go through layers in one function each.

    Layers are known by their parts (two RMS norms, attention of four projections, a gated network of three), all of
    them plain, and each is tried out on random rows first, results and gradients.

    Args:
        model: A Hugging Face causal model on the CPU, in float32, with its adapter.
        attention: That it is packed with.
        last: Whether the last layer may leave out what is behind the attention of tokens that are not trained.

    Attributes:
        count: Layers that are fused.
    """

    def __init__(self, model: Any, attention: DocumentAttention, *, last: bool) -> None:
        layers = _layers(model)
        self._forwards: list[tuple[Any, list[Any], Callable[..., Any]]] = []
        self._entered: list[Any] = []
        self._scratch: Scratch | None = None
        with attention:
            for number, layer in enumerate(layers):
                shape = _shape(layer, model)
                if shape is None:
                    continue
                narrow = last and number == len(layers) - 1
                forward = self._forward(layer, shape, narrow=narrow)
                if _same(layer, forward, shape):
                    self._forwards.append((layer, list(layer.modules()), forward))
        self.count = len(self._forwards)

    def __enter__(self) -> FusedLayers:
        for layer, parts, forward in self._forwards:
            if not any(map(_changed, parts)):  # a hook of somebody who looks on wants to be called
                layer.forward = forward
                self._entered.append(layer)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for layer in self._entered:
            del layer.forward
        self._entered.clear()

    def exact(self, model: Any, losses: Callable[[], torch.Tensor]) -> bool:
        """Whether losses and gradients within the block are those outside it, in the last layer's narrow way too.

        Args:
            model: The whole.
            losses: Of some tokens of packed rows, (tokens,), without dropout.
        """
        import torch

        weights = [one for one in model.parameters() if one.requires_grad]

        def tried() -> list[torch.Tensor]:
            with torch.enable_grad():
                found = losses()
                grads = torch.autograd.grad(found.sum(), weights, allow_unused=True, materialize_grads=True)
                return [found.detach(), *grads]

        try:
            theirs = tried()
            with self:
                ours = tried()
        except (TypeError, ValueError, RuntimeError, AttributeError, IndexError):
            return False
        return _alike(ours, theirs, _CLOSE_IN_ALL)

    def _forward(self, layer: Any, shape: LayerShape, *, narrow: bool) -> Callable[..., Any]:
        from train.fused.grouping import grouped
        from train.fused.layer import Rows, Scratch, decoder_layer

        own = layer.forward
        attention, network = layer.self_attn, layer.mlp

        def forward(
            x: torch.Tensor,
            attention_mask: Any = None,
            position_embeddings: Any = None,
            cu_seq_lens_q: Any = None,
            **options: Any,
        ) -> Any:
            weights = [
                layer.input_layernorm.weight,
                *(getattr(attention, name).weight for name in _ATTENTION),
                layer.post_attention_layernorm.weight,
                *(getattr(network, name).weight for name in _NETWORK),
            ]
            given = (attention_mask, options.get("past_key_values"), options.get("cache"))
            plain = all(one is None for one in given) and cu_seq_lens_q is not None and position_embeddings is not None
            if not plain or not _plain(x, *position_embeddings, *weights) or len(x) != 1:
                options |= {"attention_mask": attention_mask, "position_embeddings": position_embeddings}
                return own(x, **options, **({} if cu_seq_lens_q is None else {"cu_seq_lens_q": cu_seq_lens_q}))
            if self._scratch is None:
                self._scratch = Scratch()
            cos, sin = (part[0].contiguous() for part in position_embeddings)
            seen = places_seen(x.shape[1]) if narrow else None
            rows = Rows(cos, sin, grouped(cu_seq_lens_q), self._scratch, seen)
            return decoder_layer(x[0].contiguous(), shape, rows, weights)[None]

        return forward


def _layers(model: Any) -> list[Any]:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    decoder = base.get_decoder() if hasattr(base, "get_decoder") else None
    return list(getattr(decoder, "layers", None) or [])


def _plain(*tensors: torch.Tensor) -> bool:
    import torch

    return not torch.is_autocast_enabled("cpu") and all(
        type(one) in (torch.Tensor, torch.nn.Parameter) and one.dtype == torch.float32 and one.device.type == "cpu"
        for one in tensors
    )


def _shape(layer: Any, model: Any) -> LayerShape | None:
    """Of a layer that has the known parts and no others, none of them changed by anybody."""
    import torch

    from train.fused.layer import LayerShape

    attention, network = getattr(layer, "self_attn", None), getattr(layer, "mlp", None)
    parts = [(layer, _NORMS), (attention, _ATTENTION), (network, _NETWORK)]
    if attention is None or network is None:
        return None
    named: list[Any] = [getattr(owner, name, None) for owner, names in parts for name in names]
    projections = named[2:]
    if any(type(one) is not torch.nn.Linear or one.bias is not None for one in projections):
        return None
    eps = [getattr(one, "variance_epsilon", None) for one in named[:2]]
    if any(getattr(one, "weight", None) is None for one in named[:2]) or eps[0] is None or eps[1] is None:
        return None
    known = {id(one) for one in (layer, attention, network, *named, getattr(network, "act_fn", None))}
    if {id(one) for one in layer.modules()} - known or any(map(_changed, layer.modules())):
        return None
    width, size = projections[0].in_features, getattr(attention, "head_dim", 0)
    windows = [getattr(owner, "sliding_window", None) for owner in (attention, model.config)]
    dropout = getattr(attention, "attention_dropout", 0.0)
    if any(windows) or dropout or width > _WIDEST or not size or size % 2:
        return None
    heads, key_heads = (projections[place].out_features // size for place in (0, 1))
    return LayerShape(heads, key_heads, size, (eps[0], eps[1]), getattr(attention, "scaling", size**-0.5))


def _changed(module: Any) -> bool:
    return bool(
        "forward" in module.__dict__
        or module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def _same(layer: Any, forward: Callable[..., Any], shape: LayerShape) -> bool:
    """Whether both give the same result and the same gradients, on random rows of 3, 4 and 9 tokens."""
    import torch

    random = torch.Generator().manual_seed(0)
    width = layer.self_attn.q_proj.in_features
    x = torch.randn(1, 16, width, generator=random)
    angles = torch.randn(1, 16, shape.size // 2, generator=random).repeat(1, 1, 2)
    ends = torch.tensor([0, 3, 7, 16], dtype=torch.int32)
    options = {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": 9, "max_length_k": 9}
    options |= {"position_embeddings": (angles.cos(), angles.sin()), "use_cache": False}
    weights = [one for one in layer.parameters() if one.requires_grad]

    def tried(call: Callable[..., Any]) -> list[torch.Tensor]:
        with torch.enable_grad():
            own = x.clone().requires_grad_()
            found = call(own, **options)
            found = found[0] if isinstance(found, tuple) else found
            slope = torch.linspace(0.5, 1.5, found.numel()).view_as(found)
            return [found.detach(), *torch.autograd.grad((found * slope).sum(), [own, *weights])]

    trained = layer.training
    layer.eval()
    try:
        theirs, ours = tried(layer.forward), tried(forward)
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError):
        return False
    finally:
        layer.train(trained)
    return _alike(ours, theirs, _CLOSE)


def _alike(ours: list[torch.Tensor], theirs: list[torch.Tensor], close: float) -> bool:
    return all(
        one.shape == other.shape and bool((one - other).abs().max() <= close * (1 + other.abs().max()))
        for one, other in zip(ours, theirs, strict=True)
    )
