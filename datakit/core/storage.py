"""Reading and writing files so that nothing is ever half there: temporary name, flush, rename.

Every JSON file carries a ``format`` number; a file of a newer format is refused with one line.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.errors import DiskFull, NewerFormat, StorageError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "atomic_directory",
    "atomic_file",
    "cache_folder",
    "locked",
    "read_json",
    "read_table",
    "storage_errors",
    "write_json",
    "write_table",
    "write_text",
]

PRIVATE_MODE = 0o600


def cache_folder() -> Path:
    """Where results are kept from one run to the next: ``DATAKIT_CACHE``, else the user's cache folder."""
    if named := os.environ.get("DATAKIT_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "datakit"


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns operating-system errors while writing ``path`` into :class:`DiskFull` or :class:`StorageError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("no space left on the disk", where=path, hint="Free some space and run it again") from error
        raise StorageError(error.strerror or str(error), where=path) from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process at a time is inside; ``path`` is the lock's file, the others wait."""
    from filelock import FileLock

    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_file(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; it takes the name when the block ends well and is removed otherwise.

    Args:
        path: Where the file shall stand.
        private: Only the owner may read it (mode 0600).

    Raises:
        DiskFull: No space left.
        StorageError: Any other failure of the operating system.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if private:
                os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, PRIVATE_MODE))
            yield temporary
            _sync(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yields a temporary folder that replaces ``path`` when the block ends well and is removed otherwise."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with storage_errors(path):
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync(file)
            old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
            if path.exists():
                path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Writes UTF-8 text atomically; lone surrogates are kept as they are."""
    with atomic_file(path, private=private) as temporary, temporary.open("wb") as stream:
        stream.write(text.encode("utf-8", "surrogatepass"))


def write_json(path: Path, value: Mapping[str, Any], *, format: int = 1, private: bool = False) -> None:
    """Writes ``{"format": format, **value}`` as indented UTF-8 JSON, atomically; NaN is refused."""
    try:
        text = json.dumps({"format": format, **value}, ensure_ascii=False, indent=1, allow_nan=False)
    except ValueError as error:
        raise StorageError(f"not writable as JSON: {error}", where=path) from error
    write_text(path, text + "\n", private=private)


def read_json(path: Path, *, format: int = 1) -> dict[str, Any]:
    """Reads a JSON object written by :func:`write_json`.

    Raises:
        NewerFormat: Its ``format`` is above the one given.
        StorageError: Missing, unreadable or no JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise StorageError("no such file", where=path) from None
    except OSError as error:
        raise StorageError(error.strerror or str(error), where=path) from error
    except ValueError as error:
        raise StorageError(f"not valid JSON ({error})", where=path) from error
    if not isinstance(value, dict) or not isinstance(value.get("format"), int):
        raise StorageError("not one of our files: no format number", where=path)
    if value["format"] > format:
        raise NewerFormat(
            f"written in format {value['format']}, this version reads up to {format}",
            where=path,
            hint="Update datakit",
        )
    return value


def write_table(path: Path, table: pa.Table, *, private: bool = False) -> None:
    """Writes one Parquet file atomically (zstd, no timestamps inside: equal tables give equal bytes)."""
    import pyarrow.parquet as pq

    with atomic_file(path, private=private) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=65_536)


def read_table(path: Path) -> pa.Table:
    """Reads one Parquet file.

    Raises:
        StorageError: Missing, truncated or no Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise StorageError("no such file", where=path) from None
    except MemoryError:  # Arrow's own derives from it and from ArrowException: nothing is wrong with the file
        raise
    except (pa.ArrowException, OSError) as error:
        raise StorageError(f"not a readable Parquet file ({error})", where=path) from error
