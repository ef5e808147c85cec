"""Doctor: which accelerator the machine has, and whether torch uses it. An idle GPU is the dearest mistake."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from datakit.experiment.finding import Finding

__all__ = ["accelerator", "judge", "visible_gpus"]

SECTION = "Accelerator"
ADVICE = (
    "Choose the CUDA build that fits the driver at pytorch.org (the selector under Get started) and run the pip line "
    "it shows, with --force-reinstall where torch is installed already."
)


def accelerator() -> list[Finding]:
    """What is in the machine and what torch makes of it."""
    gpus = visible_gpus()
    if importlib.util.find_spec("torch") is None:
        if gpus:
            return [Finding(SECTION, "GPU", "warn", f"{gpus[0]} stands idle: torch is not installed", ADVICE)]
        return [Finding(SECTION, "GPU", "ok", "none found; torch is not installed")]
    try:
        import torch
    except (ImportError, OSError) as error:
        text = f"torch is installed and does not load: {str(error).splitlines()[0]}"
        return [Finding(SECTION, "torch", "broken", text, "Install it again; see pytorch.org for your system.")]
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "ROCm" if torch.version.hip else "CPU"
    usable = torch.cuda.is_available()
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if usable else []
    mps = torch.backends.mps.is_available()
    return [
        Finding(SECTION, "torch", "ok", f"{torch.__version__} · built for {build} · {torch.get_num_threads()} threads"),
        judge(gpus, build=build, usable=names, mps=mps, hidden=os.environ.get("CUDA_VISIBLE_DEVICES")),
    ]


def judge(gpus: list[str], *, build: str, usable: list[str], mps: bool = False, hidden: str | None = None) -> Finding:
    """The sentence about the accelerator.

    Args:
        gpus: What the driver or the operating system shows.
        build: What torch was built for: ``CPU``, ``CUDA 12.9``, ``ROCm``.
        usable: What torch can use.
        mps: Whether torch can use Apple's GPU.
        hidden: Value of ``CUDA_VISIBLE_DEVICES``; None where it is not set.
    """
    if usable:
        return Finding(SECTION, "GPU", "ok", f"{len(usable)} x {usable[0]}")
    if mps:
        return Finding(SECTION, "GPU", "ok", "Apple GPU (mps)")
    if not gpus:
        return Finding(SECTION, "GPU", "ok", "none found: the CPU is used, which does for small models")
    if hidden is not None and hidden.strip() in ("", "-1"):
        advice = "Unset it to use the GPU."
        return Finding(SECTION, "GPU", "warn", f"{gpus[0]} is hidden: CUDA_VISIBLE_DEVICES={hidden!r}", advice)
    if build == "CPU":
        return Finding(SECTION, "GPU", "warn", f"{gpus[0]} stands idle: torch is a CPU build", ADVICE)
    text = f"{gpus[0]} stands idle: torch is built for {build} and cannot use it"
    return Finding(SECTION, "GPU", "warn", text, "The driver may be too old for this build. " + ADVICE)


def visible_gpus(root: Path = Path("/")) -> list[str]:
    """GPUs by the driver's own tool, or by the traces a driver leaves in the file system; torch is not asked."""
    if root == Path("/") and (tool := shutil.which("nvidia-smi")):
        command = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            pass
        else:
            if done.returncode == 0 and done.stdout.strip():
                return [line.strip() for line in done.stdout.splitlines()]
    proc = sorted((root / "proc/driver/nvidia/gpus").glob("*"))
    devices = sorted((root / "dev").glob("nvidia[0-9]*"))
    if proc or devices:
        return ["an NVIDIA GPU"] * max(len(proc), len(devices))
    return ["an AMD GPU"] if (root / "dev/kfd").exists() else []
