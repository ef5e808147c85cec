"""What has been evaluated once is not evaluated again: one entry per model and task under ``$DATAKIT_CACHE/evals``.

The key is a hash of everything that determines the result: the bytes of the weights, adapter and tokenizer, the task's
configuration and data, the settings, and the versions of the libraries. A checkpoint that changes under its path gets
another key. Entries are two files, each written under a temporary name and renamed, the header last, so that several
processes may write and a killed evaluation goes on with the tasks it lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from datakit.core.errors import NewerFormat, StorageError
from datakit.core.hashing import json_digest
from datakit.core.storage import cache_folder, read_json, read_table, storage_errors, write_json, write_table
from evalkit.journal import Journal
from evalkit.log import ITEMS, TaskInfo

__all__ = ["Entry", "Store", "compute_missing", "entry_key"]

#: Raised whenever the same inputs may give other rows.
REVISION = 1


def entry_key(parts: Mapping[str, Any]) -> str:
    """Key of an entry from everything that determines it."""
    return json_digest({"revision": REVISION, **parts})


@dataclass(frozen=True, slots=True)
class Entry:
    """The result of one model on one task.

    Attributes:
        info: What a comparison must know of the task.
        items: Rows of :data:`evalkit.log.ITEMS`.
        settings: Of this task: few-shot, limit, generation, chat template.
        recorded: Seconds, batch tokens, cut contexts.
    """

    info: TaskInfo
    items: pa.Table
    settings: Mapping[str, Any] = field(default_factory=dict)
    recorded: Mapping[str, Any] = field(default_factory=dict)


class Store:
    """Entries under one folder.

    Args:
        folder: ``<cache>/evals`` where None.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else cache_folder() / "evals"

    def get(self, key: str) -> Entry | None:
        """The entry of that key; None where there is none, or one that cannot be read."""
        try:
            header = read_json(self.folder / key / "entry.json")
            items = read_table(self.folder / key / "items.parquet").select(ITEMS.names).cast(ITEMS)
            if items.num_rows != header["rows"]:
                return None
            return Entry(TaskInfo(**header["info"]), items, header["settings"], header["recorded"])
        except (StorageError, NewerFormat, KeyError, TypeError, pa.ArrowException):
            return None

    def put(self, key: str, entry: Entry) -> None:
        """Keeps an entry; only the owner may read it, for it may hold private text."""
        folder = self.folder / key
        write_table(folder / "items.parquet", entry.items, private=True)
        header = {
            "rows": entry.items.num_rows,
            "info": asdict(entry.info),
            "settings": dict(entry.settings),
            "recorded": dict(entry.recorded),
        }
        write_json(folder / "entry.json", header, private=True)
        self.journal(key).drop()

    def journal(self, key: str) -> Journal:
        """Answers of that entry's evaluation so far."""
        return Journal(self.folder / key)

    @contextmanager
    def claim(self, key: str, *, wait: bool) -> Iterator[bool]:
        """Whether this process alone works on the entry while the block runs.

        Args:
            key: Of the entry.
            wait: For a process that works on it now; otherwise False is given at once.
        """
        from filelock import FileLock, Timeout

        path = self.folder / ".locks" / f"{key}.lock"
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            try:
                lock.acquire(timeout=-1 if wait else 0)
                mine = True
            except Timeout:
                mine = False
        try:
            yield mine
        finally:
            if mine:
                lock.release()


def compute_missing(
    store: Store | None, keys: Sequence[str], compute: Callable[[str], Entry]
) -> Iterator[tuple[str, Entry]]:
    """Entries of the keys, in the order in which they are there.

    What another process works on now is left for the end; then it is waited for, and taken from the store.

    Args:
        store: None computes all and keeps nothing.
        keys: That the store lacked.
        compute: Gives the entry of a key.
    """
    waiting = list(dict.fromkeys(keys))
    if store is None:
        yield from ((key, compute(key)) for key in waiting)
        return
    for wait in (False, True):
        busy = []
        for key in waiting:
            with store.claim(key, wait=wait) as mine:
                if not mine:
                    busy.append(key)
                    continue
                entry = store.get(key)
                if entry is None:
                    entry = compute(key)
                    store.put(key, entry)
            yield key, entry
        waiting = busy
