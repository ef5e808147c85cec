"""junit.xml: a test case per arm and general task, as continuous integration shows them.

Regressed is a failure, unsure is skipped with what would settle it, gained and held pass. The last case of an arm is
its gate.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from evalkit.report.words import explanation, interval, score, signed

if TYPE_CHECKING:
    from evalkit.comparison import Row
    from evalkit.report.model import ArmResult, Report

__all__ = ["junit"]

# What XML 1.0 cannot hold at all.
_UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report, *, allow_unsure: bool = False) -> str:
    """The file; ``allow_unsure`` lets a gate without enough items pass, as `datakit gate --allow-unsure` does."""
    root = ElementTree.Element("testsuites", name=_text(report.title))
    for arm in report.ranked():
        _suite(root, report, arm, allow_unsure=allow_unsure)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(root: ElementTree.Element, report: Report, arm: ArmResult, *, allow_unsure: bool) -> None:
    name = _text(report.label(arm))
    suite = ElementTree.SubElement(root, "testsuite", name=name)
    for row in arm.comparison.general:
        case = ElementTree.SubElement(suite, "testcase", classname=name, name=_text(row.task))
        if row.verdict == "regressed":
            _failure(case, f"{signed(row.difference)} points {interval(row.interval)}", _details(row))
        elif row.verdict == "unsure":
            ElementTree.SubElement(case, "skipped", message=_text(explanation(row)))
    gate = ElementTree.SubElement(suite, "testcase", classname=name, name="gate")
    status = arm.gate.status
    if status == "regressed" or (status == "unsure" and not allow_unsure):
        _failure(gate, status, arm.gate.sentence)
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    suite.set("errors", "0")


def _failure(case: ElementTree.Element, message: str, text: str) -> None:
    failure = ElementTree.SubElement(case, "failure", message=_text(message), type="regressed")
    failure.text = _text(text)


def _details(row: Row) -> str:
    figures = f"{row.metric} {score(row.before)} -> {score(row.after)} on {row.n:,} items"
    flips = f"{row.paired.lost} lost, {row.paired.gained} gained"
    return f"{figures}; {flips}. {explanation(row)}"


def _text(text: str) -> str:
    return _UNFIT.sub("\ufffd", text)
