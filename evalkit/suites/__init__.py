"""Suites that come with evalkit: files of lm-eval task names with what a comparison needs."""

from __future__ import annotations

from pathlib import Path

__all__ = ["retain_core", "retain_korean"]

_FOLDER = Path(__file__).resolve().parent


def retain_core() -> Path:
    """Knowledge, reasoning, language, maths, instruction following and safety, in English."""
    return _FOLDER / "retain-core.yaml"


def retain_korean() -> Path:
    """The same for Korean."""
    return _FOLDER / "retain-korean.yaml"
