"""What determines a cell's weights: its hash, by which it is known, and its parts, by which a change is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datakit.core.errors import StorageError
from datakit.core.hashing import json_digest, tree_digest
from datakit.core.storage import read_json, write_json

__all__ = ["CellKey", "built_facts", "complete_note", "difference", "is_trained", "note_trained"]

_FORMAT = 1
_NOTE = "cell.json"
_SHOWN = 80  # characters of a value
_HASHED = {
    "model": "the model it starts from has other weights or files",
    "modules": "code that the arm names has changed",
    "suite": "the items that watch asks have changed",
    "data": "the built rows differ",
}


@dataclass(frozen=True, slots=True)
class CellKey:
    """All that a cell's weights depend on.

    Attributes:
        parts: Settings as they are, files by their content, nothing by its path.
        built: How the data came to be; no part of the hash, it says why the built rows differ.
    """

    parts: Mapping[str, Any]
    built: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """One hash of all parts."""
        return json_digest(self.parts)


def built_facts(manifest: Path) -> dict[str, Any]:
    """How the data of a run were built, from its manifest; empty where there is none."""
    try:
        data = read_json(manifest, format=_FORMAT).get("data", {})
    except StorageError:
        return {}
    return {name: data[name] for name in ("recipe", "seed", "sources") if name in data}


def note_trained(folder: Path, key: CellKey, **facts: Any) -> None:
    """Notes in a model's folder that it is the cell of this key, with the weights that stand there."""
    own = {"key": key.hash, "parts": dict(key.parts), "built": dict(key.built), "weights": _weights(folder)}
    write_json(folder / _NOTE, {**own, **facts})


def complete_note(folder: Path, key: CellKey) -> None:
    """Adds the parts to the note of a cell of this key that was trained before notes had them."""
    record = read_json(folder / _NOTE, format=_FORMAT)
    if "parts" not in record:
        write_json(folder / _NOTE, {**record, "parts": dict(key.parts), "built": dict(key.built)})


def is_trained(folder: Path, key: CellKey) -> bool:
    """Whether the cell of this key stands in its folder, with the weights that were saved and a readable manifest."""
    return difference(folder, key) is None


def difference(folder: Path, key: CellKey) -> str | None:
    """Why a folder does not hold the cell of this key, in a few words; None where it does."""
    try:
        record = read_json(folder / _NOTE, format=_FORMAT)
        read_json(folder / "train.json", format=_FORMAT)
    except StorageError:
        return "no finished training of it that can be read is there"
    if record.get("key") != key.hash:
        return _changed(record.get("parts") or {}, record.get("built") or {}, key)
    if record.get("weights") != _weights(folder):
        return "the weights are not those that were saved"
    return None


def _weights(folder: Path) -> str:
    return tree_digest(folder, ("*.safetensors",), deep=False)


def _changed(parts: Mapping[str, Any], built: Mapping[str, Any], key: CellKey) -> str:
    if not isinstance(parts, Mapping) or not parts:
        return "trained with other settings, data or base than the recipe has now"
    name, text = next(_differing(parts, key.parts), ("", "trained by another version"))
    kind = name.partition(".")[0]
    if kind not in _HASHED:
        return text
    why = next((why for _, why in _differing(built, key.built, "data")), "") if kind == "data" and built else ""
    return f"{_HASHED[kind]}: {why}" if why else _HASHED[kind]


def _differing(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Path of each value that differs, and how; settings before the hashes of what is built from them."""
    old, new = dict(_flat(before, path)), dict(_flat(now, path))
    for name in sorted({*old, *new}, key=lambda name: (name == "data", name)):
        if old.get(name) != new.get(name) or (name in old) != (name in new):
            yield name, f"{name} was {_shown(old, name)} and is {_shown(new, name)}"


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    entries: list[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        entries = list(value.items())
    elif isinstance(value, list | tuple):
        entries = list(enumerate(value))
    if not entries:
        yield path, value
    for key, inner in entries:
        yield from _flat(inner, f"{path}.{key}" if path else str(key))


def _shown(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return "not set"
    text = repr(values[name])
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
