"""Hugging Face datasets: from the hub, or a local folder (saved with save_to_disk, or of data files)."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from datakit.core.errors import SourceError, Unreachable
from datakit.core.hashing import digest, tree_digest
from datakit.core.registry import suggest
from datakit.core.variables import expand
from datakit.sources.parquet import canonical
from datakit.sources.rows import Row
from datakit.sources.spec import SourceSpec

__all__ = ["Dataset", "is_dataset", "open_dataset"]

_BATCH = 1000
_REFERENCE = re.compile(r"(?P<name>[^:@]+)(?::(?P<config>[^@]+))?(?:@(?P<revision>.+))?")


@dataclass(frozen=True, slots=True)
class Dataset:
    """One split of a dataset.

    Attributes:
        name: For origins.
        digest: Of the bytes of a local folder; of name, revision and the library's fingerprint otherwise.
        classes: Column to label names, for its ClassLabel columns.
        data: The ``datasets.Dataset``.
        split: Its name, where rows shall carry it as the column ``split``.
    """

    name: str
    digest: str
    classes: dict[str, tuple[str, ...]]
    data: Any
    split: str | None

    def rows(self) -> Iterator[Row]:
        """Rows as plain values; ClassLabel integers as names; nothing is decoded (no images, no sound)."""
        number = 0
        for table in self.data.with_format("arrow").iter(batch_size=_BATCH):
            for value in table.to_pylist():
                number += 1
                raw = canonical(value)
                for column, names in self.classes.items():
                    position = value[column]
                    if isinstance(position, int) and 0 <= position < len(names):
                        value[column] = names[position]
                if self.split is not None:
                    value.setdefault("split", self.split)
                yield number, raw, value


def is_dataset(path: str, folder: Path) -> bool:
    """Whether the path means a dataset: ``hf:...`` or a folder."""
    return path.startswith("hf:") or (path != "-" and "://" not in path and (folder / expand(path)).is_dir())


def open_dataset(path: str, spec: SourceSpec, folder: Path, *, offline: bool = False) -> list[Dataset]:
    """The splits a path stands for.

    Raises:
        SourceError: Not there, or no such split or configuration.
        Unreachable: The hub does not answer, or may not be asked.
    """
    reference = expand(path.removeprefix("hf:"))
    local = folder / reference
    found = _local(local, path) if local.is_dir() else _hub(reference, path, offline=offline)
    splits = _chosen(found, spec.split, path)
    print_of = tree_digest(local) if local.is_dir() else ""
    return [
        Dataset(
            name=f"{path}/{name}" if name else path,
            digest=digest(print_of or reference, name, "" if print_of else str(data._fingerprint)),
            classes=_classes(data),
            data=data,
            split=name if spec.split == "all" else None,
        )
        for name, data in splits
    ]


def _local(folder: Path, path: str) -> Any:
    import datasets

    try:
        if (folder / "state.json").exists() or (folder / "dataset_dict.json").exists():
            return datasets.load_from_disk(str(folder))
        return datasets.load_dataset(str(folder))
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise SourceError(
            f"the folder is no dataset that can be loaded ({error})",
            where=path,
            hint="For plain files in it write a pattern such as 'folder/*.jsonl'",
        ) from error


def _hub(reference: str, path: str, *, offline: bool) -> Any:
    import datasets

    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise SourceError(f"'{path}' is no dataset name", hint="Write hf:org/name[:config][@revision] or a folder")
    away = offline or not _answers()
    try:
        with _without_network() if away else contextlib.nullcontext():
            return datasets.load_dataset(match["name"], match["config"], revision=match["revision"])
    except datasets.exceptions.DatasetNotFoundError as error:
        if away:
            raise _unreachable(path, error) from error
        raise SourceError(
            f"no such dataset, or it is private ({error})", where=path, hint="Check name and login"
        ) from error
    except ValueError as error:  # unknown configuration, split or file layout
        if "Couldn't find cache" not in str(error):
            raise SourceError(str(error), where=path) from error
        raise _unreachable(path, error) from error
    except OSError as error:
        raise _unreachable(path, error) from error


def _answers() -> bool:
    """Whether the hub can be connected to: the library alone would try for half a minute, line after line."""
    from huggingface_hub import constants

    if any(name.lower() in ("https_proxy", "http_proxy", "all_proxy") for name in os.environ):
        return True
    address = urlsplit(constants.ENDPOINT)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), timeout=10).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _without_network() -> Iterator[None]:
    """The libraries' offline mode for a while: what is in their cache is found, nothing is asked for."""
    import datasets
    from huggingface_hub import constants

    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


def _unreachable(path: str, error: Exception) -> Unreachable:
    return Unreachable(
        f"the Hugging Face hub cannot be asked for it ({error})",
        where=path,
        hint="Save it on a machine with network (dataset.save_to_disk) and give the folder as path",
    )


def _chosen(found: Any, split: str | None, path: str) -> list[tuple[str, Any]]:
    import datasets

    if isinstance(found, datasets.Dataset):
        return [("", found)]
    names = list(found)
    if split == "all":
        return [(name, found[name]) for name in names]
    wanted = split or ("train" if "train" in names or len(names) != 1 else names[0])
    if wanted not in names:
        raise SourceError(
            f"no split '{wanted}'", where=path, hint=f"Write split: all, or one of these. {suggest(wanted, names)}"
        )
    return [(wanted, found[wanted])]


def _classes(data: Any) -> dict[str, tuple[str, ...]]:
    import datasets

    return {
        column: tuple(feature.names)
        for column, feature in data.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
