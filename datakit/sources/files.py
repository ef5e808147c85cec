"""From a path, glob, URL or standard input to files that can be opened, with name and hash of their bytes."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from datakit.core.errors import DiskFull, SourceError, Unreachable
from datakit.core.hashing import file_digest
from datakit.core.variables import VARIABLE, expand

__all__ = ["SourceFile", "network_errors", "resolve"]

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source, compressed or not.

    Attributes:
        name: Relative to the recipe; a leading ``${NAME:-default}`` stands in it as ``$NAME``.
        open: Opens it for reading bytes; may be called more than once.
        digest: Hash of its bytes, computed on demand.
    """

    name: str
    open: Callable[[], IO[bytes]]
    digest: Callable[[], str]


def resolve(path: str, folder: Path, *, offline: bool = False) -> Iterator[SourceFile]:
    """The files a path stands for, in the order of their names.

    Args:
        path: File, glob, fsspec URL or ``-``, as written in the recipe.
        folder: Where relative paths start.
        offline: Whether other machines may not be asked.

    Raises:
        SourceError: Nothing there, or not readable.
        Unreachable: A URL while offline, or one that does not answer.
    """
    expanded, first = expand(path), VARIABLE.match(path)
    variable = "" if first is None else f"${first[1]}"
    if expanded == "-":
        yield _spooled("stdin", lambda: sys.stdin.buffer)
    elif re.match(r"[a-z][a-z0-9+.-]+::|[a-z][a-z0-9+.-]+://", expanded):
        yield from _remote(expanded, offline=offline)
    else:
        start = "" if first is None else expand(first[0])
        for found in _local(expanded, folder):
            yield _local_file(found, _name(found, folder, start, variable))


def _name(found: Path, folder: Path, start: str, variable: str) -> str:
    full = os.path.abspath(found)  # noqa: PTH100  (resolve() would follow links and change the name)
    if variable:
        base = os.path.abspath(folder / start)  # noqa: PTH100
        if full.startswith(base):
            return variable + full[len(base) :].replace(os.sep, "/")
    return os.path.relpath(full, folder).replace(os.sep, "/")


def _local(path: str, folder: Path) -> list[Path]:
    whole = folder / Path(path).expanduser()
    if whole.exists():
        return [whole]
    if glob.has_magic(path):
        found = sorted(Path(name) for name in glob.glob(str(whole), recursive=True))  # noqa: PTH207  (absolute patterns)
        if files := [file for file in found if file.is_file()]:
            return files
        raise SourceError(f"no file matches '{path}'", where=folder, hint="Check the pattern and the folder")
    raise SourceError(f"no such file: '{path}'{_nearest(whole)}", hint=f"Relative paths start at '{folder}'")


def _nearest(path: Path) -> str:
    import difflib

    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f" (there is no folder '{path.parent}')"
    close = difflib.get_close_matches(path.name, names, n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _local_file(path: Path, name: str) -> SourceFile:
    if path.is_dir():
        raise SourceError("this is a folder", where=name, hint=f"Write '{name}/*.jsonl' for the files in it")

    def opened() -> IO[bytes]:
        try:
            return path.open("rb")
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror or error}", where=name) from error

    def digest() -> str:
        opened().close()
        return file_digest(path)

    return SourceFile(name, opened, digest)


class _Spool:
    """A stream that can be read only once, or only slowly: copied to an unnamed temporary file on first use."""

    def __init__(self, name: str, connect: Callable[[], IO[bytes]]) -> None:
        self.name, self.connect = name, connect
        self.copy: IO[bytes] | None = None
        self.state = hashlib.blake2b(digest_size=16)

    def _filled(self) -> IO[bytes]:
        if self.copy is None:
            self.copy = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the source)
            with network_errors(self.name), self.connect() as stream:
                while block := stream.read(_BLOCK):
                    self.state.update(block)
                    self.copy.write(block)
                self.copy.flush()
        return self.copy

    def open(self) -> IO[bytes]:
        copy = self._filled()
        copy.seek(0)
        return os.fdopen(os.dup(copy.fileno()), "rb")

    def digest(self) -> str:
        self._filled()
        return self.state.hexdigest()

    def __del__(self) -> None:
        if self.copy is not None:
            self.copy.close()


def _spooled(name: str, connect: Callable[[], IO[bytes]]) -> SourceFile:
    spool = _Spool(name, connect)
    return SourceFile(name, spool.open, spool.digest)


_CLIENTS = ("botocore", "aiobotocore", "aiohttp", "azure", "google", "gcsfs", "adlfs", "huggingface_hub")


@contextlib.contextmanager
def network_errors(url: str, *, action: str = "read") -> Iterator[None]:
    """Turns what a file system or a store's client raises into one line.

    Args:
        url: What was asked for.
        action: ``read`` or ``written``, for the message.

    Raises:
        SourceError: Not there, or no address that can be used.
        Unreachable: The store does not answer, or refuses.
        DiskFull: No space for a temporary copy.
    """
    try:
        yield
    except FileNotFoundError:
        raise SourceError("no such file" if action == "read" else "no such place", where=url) from None
    except ImportError as error:
        raise SourceError(f"this kind of address needs a library ({error})", where=url) from None
    except ValueError as error:
        raise SourceError(f"not an address that fsspec can use ({error})", where=url) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                "no space left for a temporary copy", where=tempfile.gettempdir(), hint="Free some, or set TMPDIR"
            ) from error
        raise _unreachable(url, action, error) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _CLIENTS:
            raise
        raise _unreachable(url, action, error) from error


def _unreachable(url: str, action: str, error: Exception) -> Unreachable:
    return Unreachable(
        f"cannot be {action} ({error})", where=url, hint="Check the address, your rights and the network"
    )


def _remote(url: str, *, offline: bool) -> Iterator[SourceFile]:
    import fsspec

    protocol = re.split(r"::|://", url)[0]
    if offline and protocol not in ("file", "local", "memory", "zip", "simplecache"):
        raise Unreachable(
            f"'{url}' is not on this machine and the recipe says network: never", hint="Copy it here first"
        )
    with network_errors(url):
        found = fsspec.open_files(url, mode="rb", compression=None)
    if not found:
        raise SourceError(f"no file matches '{url}'")
    for file in sorted(found, key=lambda item: str(item.path)):
        name = url if len(found) == 1 else f"{protocol}://{file.path}"
        yield _spooled(name, file.open)
