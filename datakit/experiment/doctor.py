"""What this machine can do: packages by extra, accelerator, hub, disk, memory. Looks, and changes nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from datakit.core.require import pip_line
from datakit.core.storage import cache_folder
from datakit.experiment.finding import Finding, State

__all__ = ["EXTRAS", "USES", "Examination", "examine", "machine", "packages", "storage", "unmet"]

EXTRAS = ("pii", "train", "eval", "label", "s3", "semantic")
_LOOP = ("pii", "train", "eval")
USES = {
    "curation": (),
    "personal data": ("pii",),
    "training": ("train",),
    "evaluation": ("eval",),
    "labelling": ("label",),
    "object storage": ("s3",),
    "static embeddings": ("semantic",),
}
MIN_DISK, MIN_MEMORY = 5e9, 4e9


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything found.

    Attributes:
        findings: In the order they are printed.
        usable: Use (one of ``USES``) to whether its packages are there.
        install: The pip line that brings what the whole loop is missing; None where nothing is. Labelling, object
            storage and static embeddings are no part of the loop.
    """

    findings: tuple[Finding, ...]
    usable: dict[str, bool]
    install: str | None

    @property
    def broken(self) -> bool:
        """Whether something keeps datakit from working."""
        return any(finding.state == "broken" for finding in self.findings)


def examine(*, offline: bool = False, folder: Path | None = None) -> Examination:
    """Looks at this machine.

    Args:
        offline: The hub is not asked.
        folder: Where runs would be written; the current folder by default.
    """
    from datakit.experiment.doctor_hub import hub
    from datakit.experiment.doctor_torch import accelerator

    missing = unmet()
    usable = {use: not any(missing[extra] for extra in ("", *extras)) for use, extras in USES.items()}
    wanted = [extra for extra in _LOOP if missing[extra]]
    findings = [*machine(), *packages(missing), *accelerator(), *hub(offline=offline), *storage(folder or Path.cwd())]
    install = pip_line(*wanted) if wanted else None
    return Examination(tuple(findings), usable, install)


def machine() -> list[Finding]:
    """Python, operating system, cores, memory, text encoding."""
    python = platform.python_version()
    section = "Machine"
    found = [Finding(section, "Python", "ok", f"{python} · {platform.system()} {platform.machine()}")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = _memory()
    text = f"{cores} cores · {memory / 1e9:.0f} GB memory" if memory else f"{cores} cores"
    few = memory is not None and memory < MIN_MEMORY
    advice = "Small models only: lower batch_size and max_length in the recipe." if few else None
    found.append(Finding(section, "size", "warn" if few else "ok", text, advice))
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    if encoding == "utf8":
        found.append(Finding(section, "text", "ok", "UTF-8"))
    else:
        advice = "Set PYTHONUTF8=1, or a UTF-8 locale."
        found.append(Finding(section, "text", "warn", f"prints as {sys.stdout.encoding}, not UTF-8", advice))
    return found


def _memory() -> int | None:
    """Bytes of memory this process may use: the machine's, or the container's limit where that is lower."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(limit).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return total


def unmet() -> dict[str, list[str]]:
    """Extra ("" for the base install) to the requirements that are not met, as ``name>=1`` or ``name>=1 (0.9)``.

    Read from the metadata pip itself installed by, so this list cannot differ from ``pyproject.toml``.
    """
    from packaging.requirements import Requirement

    found: dict[str, list[str]] = {extra: [] for extra in ("", *EXTRAS)}
    for line in importlib.metadata.requires("datakit") or []:
        requirement = Requirement(line)
        marker = requirement.marker
        for extra, names in found.items():
            if marker is not None and not (extra and marker.evaluate({"extra": extra})):
                continue
            if marker is None and extra:
                continue
            try:
                version = importlib.metadata.version(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                names.append(f"{requirement.name}{requirement.specifier}")
                continue
            if not requirement.specifier.contains(version, prereleases=True):
                names.append(f"{requirement.name}{requirement.specifier} (is {version})")
    return found


def packages(missing: dict[str, list[str]]) -> list[Finding]:
    """The base install and each extra: versions of what matters most, or the line that installs it."""
    section = "Packages"
    found = []
    shown = {
        "": ("datakit", "pyarrow", "datasets", "datasketch"),
        "pii": ("presidio-analyzer",),
        "train": ("torch", "transformers", "peft"),
        "eval": ("lm-eval", "scipy"),
        "label": ("openai", "cleanlab", "starlette"),
        "s3": ("s3fs",),
        "semantic": ("model2vec",),
    }
    for extra, names in missing.items():
        name = extra or "base"
        if names:
            state: State = "missing" if extra else "broken"
            advice = pip_line(extra) if extra else pip_line()
            found.append(Finding(section, name, state, "without " + ", ".join(names), advice))
        else:
            found.append(Finding(section, name, "ok", " · ".join(_versions(shown[extra]))))
    found.append(_promptsource())
    return found


def _promptsource() -> Finding:
    from datakit.core.errors import DatakitError
    from datakit.templates.promptsource import INSTALL, data_folder

    try:
        folder = data_folder()
    except DatakitError:
        return Finding("Packages", "promptsource", "missing", "only for templates named promptsource:...", INSTALL)
    return Finding("Packages", "promptsource", "ok", str(folder))


def _versions(packages: tuple[str, ...]) -> list[str]:
    found = []
    for package in packages:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def storage(folder: Path) -> list[Finding]:
    """Room and permission where runs and evaluations are kept."""
    section = "Storage"
    found = []
    for name, place in (("here", folder), ("cache", cache_folder())):
        existing = next(path for path in (place, *place.parents) if path.exists())
        shown = str(place).replace(str(Path.home()), "~", 1) if place.is_relative_to(Path.home()) else str(place)
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
            free = shutil.disk_usage(existing).free
        except OSError as error:
            advice = "Set DATAKIT_CACHE to a folder of yours." if name == "cache" else "Work in a folder of yours."
            found.append(Finding(section, name, "broken", f"{shown}: {error.strerror}", advice))
            continue
        text = f"{shown} · {free / 1e9:.0f} GB free"
        if free < MIN_DISK:
            advice = "Models and runs need more: free some, or set DATAKIT_CACHE elsewhere."
            found.append(Finding(section, name, "warn", text, advice))
        else:
            found.append(Finding(section, name, "ok", text))
    return found
