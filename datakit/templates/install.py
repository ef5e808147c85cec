"""Brings promptsource's data into the cache: its archive comes through pip, its template files are taken out of it.

None of promptsource's code is kept or imported. pip itself runs the ``setup.py`` of a source archive to read its
metadata, so the archive is pinned by hash: pip refuses any other before it runs anything.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from datakit.core.errors import TemplateError, Unreachable
from datakit.core.hub import TEMPLATES
from datakit.core.storage import atomic_directory
from datakit.templates.promptsource import archive_files, installed_folder, parse

__all__ = ["ARCHIVE", "COMMAND", "bring_templates", "install"]

_VERSION = "0.2.3"
_SHA256 = "f106c889778a0fe5590e7183904bf964e1a01691c8a29451e44f3df5ddef05f5"
ARCHIVE = f"promptsource-{_VERSION}.tar.gz"
COMMAND = f"pip download --no-deps --ignore-requires-python --no-binary :all: promptsource=={_VERSION}"

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")


def install(archive: Path | None = None, *, folder: Path | None = None, timeout: float = 300) -> tuple[Path, int]:
    """Puts the template files under ``$DATAKIT_CACHE/promptsource``, replacing what was there.

    Args:
        archive: promptsource's ``.tar.gz``, where it was downloaded before; otherwise pip downloads it.
        folder: Another place.
        timeout: Seconds for pip.

    Returns:
        The folder and the number of datasets.

    Raises:
        Unreachable: pip could not get it; the message names the command.
        TemplateError: Not promptsource's archive, or a path in it that leads elsewhere.
    """
    target = folder or installed_folder()
    if archive is not None:
        return target, _unpack(archive, target)
    with tempfile.TemporaryDirectory() as temporary:
        return target, _unpack(_download(Path(temporary), timeout), target)


def bring_templates(hub: Path | None) -> None:
    """Installs promptsource's data from a folder that ``datakit fetch`` filled, where they are not installed yet."""
    target = installed_folder()
    if hub is None or target.is_dir() or not (hub / TEMPLATES).is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(target) as temporary:
        shutil.copytree(hub / TEMPLATES, temporary, dirs_exist_ok=True)


def _download(folder: Path, timeout: float) -> Path:
    wanted = folder / "wanted.txt"
    wanted.write_text(f"promptsource=={_VERSION} --hash=sha256:{_SHA256}\n", encoding="utf-8")
    options = ["--no-deps", "--ignore-requires-python", "--no-binary", "promptsource", "--disable-pip-version-check"]
    options += ["--quiet", "--retries", "2", "--timeout", "15", "--dest", str(folder), "--requirement", str(wanted)]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", *options],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        said = done.stderr.strip().splitlines()
    except subprocess.TimeoutExpired:
        said = [f"no answer in {timeout:g} seconds"]
    except OSError as error:
        said = [str(error)]
    found = folder / ARCHIVE
    if not found.is_file():
        reasons = [line for line in said if line.startswith("ERROR")] or said[-1:] or ["no reason given"]
        raise Unreachable(
            f"'{COMMAND}' did not bring the archive: {reasons[-1].removeprefix('ERROR: ')}",
            hint=f"Run it where the package index answers, then: datakit templates install --from {ARCHIVE}",
        )
    return found


def _unpack(archive: Path, target: Path) -> int:
    files: dict[tuple[str, ...], bytes] = {}
    for name, data in archive_files(archive):
        parts = tuple(name.split("/"))
        if "templates" not in parts:
            continue
        below = parts[parts.index("templates") + 1 : -1]
        if not below or not all(_PART.fullmatch(part) and ".." not in part for part in parts):
            raise TemplateError(f"the archive has the path '{name}'", where=archive, hint="It is not promptsource's")
        parse(data, f"{archive}/{name}", collection=name)
        files[below] = data
    if not files:
        raise TemplateError("the archive has no templates.yaml", where=archive)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(target) as temporary:
        for below, data in files.items():
            temporary.joinpath(*below).mkdir(parents=True, exist_ok=True)
            temporary.joinpath(*below, "templates.yaml").write_bytes(data)
    return len(files)
