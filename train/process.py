"""What the process holds in memory, and what the machine, or the group the process lies in, has left."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["available", "forget_highest", "give_back", "highest_resident", "most_resident", "resident"]

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
_forgotten = 0  # the most of all that forget_highest forgot


def resident() -> int:
    """Bytes of this process that lie in memory now; 0 where the system does not tell."""
    return _numbers("/proc/self/status").get("VmRSS", 0)


def highest_resident() -> int:
    """Most bytes of this process that lay in memory, since it began or since :func:`forget_highest`; 0 if unknown."""
    return _numbers("/proc/self/status").get("VmHWM", 0)


def most_resident() -> int:
    """Most bytes of this process that lay in memory since it began, whatever was forgotten since."""
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # begins anew as well where the kernel's mark does
    return max(_forgotten, highest_resident(), peak if sys.platform == "darwin" else peak * 1024)


def forget_highest() -> bool:
    """Begins anew with :func:`highest_resident`; False where the system does not let us (Linux does)."""
    global _forgotten
    _forgotten = max(_forgotten, highest_resident())
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write("5")
    except OSError:
        return False
    return True


def give_back() -> None:
    """Gives freed pages back to the system, where the C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def available(device: str) -> int:
    """Bytes that are free on a device now."""
    import torch

    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    lines = _numbers("/proc/meminfo")
    free = lines.get("MemAvailable", os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min([free, *_allowed()])


def _allowed() -> Iterator[int]:
    """What a container or a job of a scheduler may still take (control groups of Linux, both versions)."""
    try:
        lines = os.fsdecode(_OWN_GROUPS.read_bytes()).splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        kind, _, name = rest.partition(":")
        if "memory" in kind.split(","):
            root, most, now = _GROUPS / kind, "memory.limit_in_bytes", "memory.usage_in_bytes"
        elif line.startswith("0::"):
            root, most, now = _GROUPS, "memory.max", "memory.current"
        else:
            continue
        own = root / name.lstrip("/")
        for folder in (own, *own.parents) if own.is_relative_to(root) else ():  # a limit of a group holds for all in it
            if not folder.is_relative_to(root):
                break
            try:
                limit, used = (int((folder / file).read_text(encoding="ascii")) for file in (most, now))
                stat = (line.partition(" ")[::2] for line in (folder / "memory.stat").read_text().splitlines())
                unused = int(dict(stat).get("inactive_file", 0))
            except (OSError, ValueError):  # "max"; the root group has no such files
                continue
            yield max(0, limit - used + unused)  # files in memory make room


def _numbers(path: str) -> Mapping[str, int]:
    """Fields of one of the kernel's tables that are given in kB, in bytes."""
    try:
        with open(path, encoding="utf-8") as lines:  # noqa: PTH123
            pairs = (line.partition(":")[::2] for line in lines if line.endswith("kB\n"))
            return {name: int(rest.split()[0]) * 1024 for name, rest in pairs}
    except OSError:
        return {}
