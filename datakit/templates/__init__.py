"""Prompt templates: promptsource's format and our own, rendered in a sandbox; a library in English and Korean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datakit.templates.collection import load_collection, select
    from datakit.templates.template import Rendering, Template

__all__ = ["Rendering", "Template", "load_collection", "select"]

_HOMES = {
    "Rendering": "datakit.templates.template",
    "Template": "datakit.templates.template",
    "load_collection": "datakit.templates.collection",
    "select": "datakit.templates.collection",
}


def __getattr__(name: str) -> Any:
    """Imports on use: the worker process imports this package too and needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
