"""Other forms of a report, written on request beside the three that always are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from datakit.core.registry import suggest
from datakit.core.storage import write_text
from evalkit.errors import EvalError

if TYPE_CHECKING:
    from evalkit.report.model import Report

__all__ = ["FORMATS", "write_formats"]


def _csv(report: Report, folder: Path) -> list[Path]:
    from evalkit.report.csvfile import csv_text

    return _texts({"report.csv": csv_text(report)}, folder)


def _latex(report: Report, folder: Path) -> list[Path]:
    from evalkit.report.latex import latex

    return _texts({"report.tex": latex(report)}, folder)


def _svg(report: Report, folder: Path) -> list[Path]:
    from evalkit.report.plots import plots

    return _texts(plots(report), folder)


def _junit(report: Report, folder: Path) -> list[Path]:
    from evalkit.report.junit import junit

    return _texts({"junit.xml": junit(report)}, folder)


def _card(report: Report, folder: Path) -> list[Path]:
    from evalkit.report.card import cards

    return _texts(cards(report), folder)


def _pdf(report: Report, folder: Path) -> list[Path]:
    from evalkit.report.pdf import print_pdf

    if not (folder / "report.html").is_file():
        from evalkit.report.write import write_report

        write_report(report, folder)
    print_pdf(folder / "report.html", folder / "report.pdf")
    return [folder / "report.pdf"]


FORMATS: dict[str, Callable[[Report, Path], list[Path]]] = {
    "card": _card,
    "csv": _csv,
    "junit": _junit,
    "latex": _latex,
    "pdf": _pdf,
    "svg": _svg,
}


def _texts(files: dict[str, str], folder: Path) -> list[Path]:
    for name, text in files.items():
        write_text(folder / name, text)
    return [folder / name for name in files]


def write_formats(report: Report, folder: Path, names: Iterable[str]) -> list[Path]:
    """Writes further files into the folder of a report.

    Args:
        report: The report.
        folder: Where its report.html stands; ``pdf`` prints that page and writes it where it is missing.
        names: Of :data:`FORMATS`: ``card`` (model cards), ``csv``, ``junit``, ``latex``, ``pdf``, ``svg``.

    Returns:
        The files.

    Raises:
        EvalError: No format of that name; no browser to print with.
    """
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in FORMATS:
            raise EvalError(f"no format named '{name}'", hint=suggest(name, list(FORMATS)))
    return [path for name in wanted for path in FORMATS[name](report, folder)]
