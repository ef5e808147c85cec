"""The line that is overwritten on a terminal, and what check says of memory."""

from __future__ import annotations

from datakit.cli.check import _memory
from datakit.cli.progress import _fitting


def test_parts_that_do_not_fit_are_left_out_whole() -> None:
    text = "lora-1 1/6 · loss 12.208 · 0:02 left · 3,759 tok/s · 0.7 GB"
    assert _fitting(text, 80) == text
    assert _fitting(text, len(text) - 1) == "lora-1 1/6 · loss 12.208 · 0:02 left · 3,759 tok/s"
    assert _fitting("x" * 30, 12) == "x" * 12


def test_memory_of_many_arms_fits_into_80_columns() -> None:
    lines = _memory([(f"arm-{number}", number << 30, 9 << 30) for number in range(1, 13)])
    assert all(len(line) <= 70 for line in lines)
    assert " ".join(lines).endswith("arm-12 12.0 GiB; 9.0 GiB are free")
