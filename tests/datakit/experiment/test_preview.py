"""A row on one line: of a long prompt and a very long answer the middles are left out."""

from __future__ import annotations

from datakit.experiment.preview import preview


def test_what_is_left_out() -> None:
    assert preview([("a b", False), (" c</s>", True)]) == "a b⟦ c</s>⟧"
    line = preview([("word " * 90 + "asked?", False), (" yes</s>", True)])
    assert line.startswith("word word")
    assert line.endswith("asked?⟦ yes</s>⟧")
    assert len(line) <= 72
    line = preview([("asked?", False), (" yes" * 900 + " end</s>", True)])
    assert line.endswith("yes end</s>⟧")
    assert "?⟦ yes yes" in line
    assert len(line) < 150
