"""From what a recipe calls ``model`` to a folder on this machine."""

from __future__ import annotations

import re
from pathlib import Path

from datakit.core.errors import DatakitError, Unreachable
from datakit.core.hashing import tree_digest
from datakit.core.registry import Registry, suggest
from datakit.core.require import require
from datakit.core.variables import expand

__all__ = ["MODELS", "model_digest", "resolve_model"]

MODELS = Registry("datakit.models")

# What is fetched from a hub: never pickled weights, never code.
_PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_REPOSITORY = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?$")


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))


def _from_hub(reference: str, *, offline: bool) -> Path:
    hub = require("huggingface_hub", extra="train")
    name, _, revision = reference.partition("@")
    try:
        folder = hub.snapshot_download(
            name, revision=revision or None, allow_patterns=_PATTERNS, local_files_only=offline
        )
    except (OSError, ValueError) as error:
        # huggingface_hub's errors derive from OSError or ValueError; its LocalEntryNotFound comes when it is offline.
        why = "network: never" if offline else type(error).__name__
        raise Unreachable(
            f"the model '{reference}' is not on this machine and could not be fetched ({why})",
            hint="Check the name and the connection, or put it under the recipe's hub folder as org/name",
        ) from None
    return Path(folder)


def resolve_model(reference: str, *, folder: Path, hub: Path | None = None, offline: bool = False) -> Path:
    """The folder of a model.

    Args:
        reference: A registered name (``pocket``), a folder relative to ``folder`` (``${NAME:-default}`` is taken from
            the environment), or ``org/name[@revision]``.
        folder: Folder of the recipe.
        hub: Looked up for ``org/name`` before the network.
        offline: Only what is on this machine already.

    Raises:
        DatakitError: No such model, or a folder that holds none.
        Unreachable: It would have to be fetched and cannot.
    """
    if reference in MODELS.names():
        return Path(MODELS.load(reference)())
    local = (folder / expand(reference)).expanduser()
    if local.is_dir():
        if not _is_model(local):
            raise DatakitError(f"no model in the folder '{local}'", hint="It needs config.json and *.safetensors")
        return local.resolve()
    if hub is not None and (hub / reference.partition("@")[0]).is_dir():
        return hub / reference.partition("@")[0]
    if _REPOSITORY.match(reference) and not reference.startswith((".", "/")):
        return _from_hub(reference, offline=offline)
    raise DatakitError(
        f"no model '{reference}': neither a folder nor org/name of a hub",
        hint=suggest(reference, MODELS.names()),
    )


def model_digest(folder: Path) -> str:
    """Hash of a model's weights, configuration and tokenizer files."""
    return tree_digest(folder, ("*.safetensors", "*.json", "*.model", "*.jinja"))
