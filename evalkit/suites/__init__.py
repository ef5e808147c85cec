"""Suites that come with evalkit: files of lm-eval task names with what a comparison needs."""

from __future__ import annotations

from pathlib import Path

__all__ = ["RUN_HERE", "retain_core", "retain_korean"]

#: Tasks of lm-eval that this project's tests run end to end, data files swapped for local ones (tests/real).
RUN_HERE = ("arc_easy", "arc_challenge", "blimp", "boolq", "gsm8k", "piqa", "truthfulqa_mc1", "winogrande")

_FOLDER = Path(__file__).resolve().parent


def retain_core() -> Path:
    """Knowledge, reasoning, language, maths, instruction following and safety, in English."""
    return _FOLDER / "retain-core.yaml"


def retain_korean() -> Path:
    """The same for Korean."""
    return _FOLDER / "retain-korean.yaml"
