"""The numbers of ``datakit stats`` against counts made by hand, and the page in a browser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from datakit.cli import root
from datakit.plain.figures import bars, bins, histogram
from datakit.plain.page import quantiles


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=60), st.integers(1, 30))
def test_bins_hold_every_value_once(values: list[int], count: int) -> None:
    found = bins(values, count=count)
    assert len(found) <= count + 1
    assert (found[0][0], found[-1][1]) == (min(values), max(values)) or found[-1][1] >= max(values)
    for first, last, rows in found:
        assert rows == sum(first <= value <= last for value in values)
    assert sum(rows for _, _, rows in found) == len(values)


@given(st.lists(st.integers(0, 10**6), max_size=40), st.dictionaries(st.text(max_size=5), st.integers(1, 9)))
def test_figures_are_well_formed_whatever_a_label_holds(values: list[int], counts: dict[str, int]) -> None:
    for drawn in (histogram(values, unit="<words> & more"), bars(counts, limit=4)):
        if drawn:
            printable = "".join(char for char in drawn if char.isprintable() or char == " ")
            assert ElementTree.fromstring(printable).tag in ("svg", "div")


@given(st.lists(st.integers(0, 100), min_size=1))
def test_quantiles_are_values_that_were_there(values: list[int]) -> None:
    found = quantiles(values)
    assert {found[name] for name in ("min", "25 %", "median", "75 %", "95 %", "max")} <= set(values)
    assert (found["min"], found["max"]) == (min(values), max(values))


def call(*arguments: str) -> Any:
    done = CliRunner().invoke(root, ["stats", *arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


ROWS = (
    '{"text": "The parcel came late again, and nobody told me why.", "label": "late", "n": 1}\n'
    '{"text": "the  PARCEL came late again, and nobody told me why.", "label": "late", "n": 2}\n'
    '{"text": "택배가 오늘도 오지 않았습니다.", "label": "lost", "n": null}\n'
    '{"text": "", "label": "lost"}\n'
    "{broken\n"
)


def test_counts(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(ROWS)
    found = json.loads(call(str(tmp_path / "a.jsonl"), "--json"))["all"]
    assert (found["rows"], found["unreadable"], found["without_text"], found["exact_duplicates"]) == (4, 1, 1, 1)
    assert found["labels"] == {"late": 2, "lost": 2}
    assert found["languages"] == {"en": 2, "ko": 1}
    assert found["columns"]["n"] == {"filled": 2, "types": {"number": 2}, "distinct": 2,
                                     "distinct_is_lower_bound": False}  # fmt: skip
    assert found["lengths"]["text"]["words"]["max"] == 10
    assert found["lengths"]["text"]["characters"]["max"] == 52


def test_several_files_share_their_duplicates(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text("text,label\nthe same question again,a\nonly " + name + ",b\n")
    output = call(str(tmp_path / "*.csv"), "--html", str(tmp_path / "page.html"))
    assert "rows        4 · 1 exact duplicates" in output
    assert "http" not in (tmp_path / "page.html").read_text().replace("http://www.w3.org", "")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    """Nothing is logged, nothing is wider than a telephone, and dark screens get light letters."""
    selenium = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium or chromedriver")
    (tmp_path / "a.jsonl").write_text(ROWS * 30 + json.dumps({"text": "w " * 900, "label": "x" * 300}) + "\n")
    call(str(tmp_path / "a.jsonl"), "--html", str(tmp_path / "page.html"))
    for scheme, letters in (("1", "rgb(29, 36, 48)"), ("0", "rgb(230, 233, 239)")):
        options = selenium.ChromeOptions()
        options.binary_location = chromium
        for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=500,900"):
            options.add_argument(flag)
        options.add_argument(f"--blink-settings=preferredColorScheme={scheme}")
        browser = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
        try:
            browser.get((tmp_path / "page.html").as_uri())
            assert browser.get_log("browser") == []
            width = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
            assert width[0] <= width[1]
            style = "return getComputedStyle(document.body).color"
            assert browser.execute_script(style) == letters
            assert len(browser.find_elements("css selector", "svg .bar")) >= 2
        finally:
            browser.quit()
