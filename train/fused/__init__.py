"""Fewer passes over a model's activations on the CPU, where elementwise work counts beside the products."""

from __future__ import annotations

from train.fused.last import LastNetwork, seen_only_at
from train.fused.layers import FusedLayers
from train.fused.passes import FusedPasses

__all__ = ["FusedLayers", "FusedPasses", "LastNetwork", "seen_only_at"]
