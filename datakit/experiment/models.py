"""From what a recipe calls ``model`` to a folder on this machine."""

from __future__ import annotations

from pathlib import Path

from datakit.core.checkpoint import find_model
from datakit.core.errors import ModelError
from datakit.core.hashing import tree_digest
from datakit.core.registry import Registry, suggest
from datakit.core.variables import expand

__all__ = ["MODELS", "model_digest", "resolve_model"]

MODELS = Registry("datakit.models")


def resolve_model(reference: str, *, folder: Path, hub: Path | None = None, offline: bool = False) -> Path:
    """The folder of a model.

    Args:
        reference: A registered name (``pocket``), a folder relative to ``folder`` (``${NAME:-default}`` is taken from
            the environment), or ``org/name[@revision]``.
        folder: Folder of the recipe.
        hub: Looked up for ``org/name`` before the network.
        offline: Only what is on this machine already.

    Raises:
        ModelError: No such model, or a folder that holds none.
        Unreachable: It would have to be fetched and cannot.
    """
    if reference in MODELS.names():
        return Path(MODELS.load(reference)())
    local = (folder / expand(reference)).expanduser()
    if local.is_dir():
        return find_model(local).resolve()
    if hub is not None and (hub / reference.partition("@")[0]).is_dir():
        return find_model(hub / reference.partition("@")[0])
    if "/" not in reference:
        raise ModelError(
            f"no model '{reference}': neither a folder nor org/name of the Hub",
            hint=suggest(reference, MODELS.names()),
        )
    return find_model(reference, offline=offline)


def model_digest(folder: Path) -> str:
    """Hash of a model's weights, configuration and tokenizer files."""
    return tree_digest(folder, ("*.safetensors", "*.json", "*.model", "*.jinja"), deep=False)
