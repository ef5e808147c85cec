"""Compiled kernels, or for few nodes the same in Python: which, and loaded only then."""

from __future__ import annotations

from typing import Any

from datakit.text.plain import small

__all__ = ["crowd_kernels", "kernels"]


def kernels(nodes: int) -> Any:
    """The module with ``drop``, ``best_other`` and ``components``."""
    if small(nodes):
        from datakit.dedup import plain

        return plain
    from datakit.dedup import compiled

    return compiled


def crowd_kernels(nodes: int) -> Any:
    """The module with ``prefixes``, ``drop_crowd`` and ``look_again``."""
    if small(nodes):
        from datakit.dedup import plain_crowd

        return plain_crowd
    from datakit.dedup import crowd

    return crowd
