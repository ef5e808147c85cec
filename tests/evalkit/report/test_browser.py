"""The page in a real browser with no network: filters, difference marks, tabs by keyboard, sorting, hostile texts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from evalkit.report import write_report

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

NASTY = '</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 2">'


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator:
    """Headless Chromium without a network."""
    binary = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no Chromium with its driver: apt install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in ("headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking"):
        options.add_argument(f"--{flag}")
    for flag in ("disable-quic", "disable-component-update", "disable-sync", "host-resolver-rules=MAP * ~NOTFOUND"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.add_argument("--window-size=1100,900")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a report and holds that the console stays empty."""

    def show(report) -> Path:
        write_report(report, tmp_path)
        browser.get((tmp_path / "report.html").as_uri())
        return tmp_path

    yield show
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def wait(browser, script: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 10).until(lambda found: found.execute_script(f"return {script}"))


def count(browser) -> str:
    return browser.execute_script("return document.getElementById('count').textContent")


def set_value(browser, name: str, value: str) -> None:
    browser.execute_script(
        "const c = document.getElementById(arguments[0]); c.value = arguments[1];"
        "c.dispatchEvent(new Event(c.tagName === 'SELECT' ? 'change' : 'input'))",
        name,
        value,
    )


def test_filters_and_search(browser, opened, make_report):
    report = make_report()
    opened(report)
    lost = sum(row["direction"] == "lost" for arm in report.arms for row in arm.comparison.flips.to_pylist())
    assert count(browser) == f"25 of {lost:,} items"
    browser.execute_script("document.getElementById('more').click()")
    assert count(browser) == f"50 of {lost:,} items"
    set_value(browser, "f-task", "sums")
    set_value(browser, "f-arm", "full")
    full = next(arm for arm in report.arms if arm.name == "full")
    rows = [r for r in full.comparison.flips.to_pylist() if r["task"] == "sums" and r["direction"] == "lost"]
    assert count(browser).endswith(f"of {len(rows)} items")
    heads = browser.execute_script("return [...document.querySelectorAll('.item-head b')].map((b) => b.textContent)")
    assert set(heads) == {"sums"}
    set_value(browser, "f-text", rows[0]["item_id"])
    wait(browser, "document.getElementById('count').textContent.startsWith('1 of ')")
    set_value(browser, "f-text", "no such words anywhere")
    wait(browser, "document.getElementById('count').textContent === 'No item fits.'")


def test_hostile_texts_stay_text(browser, opened, make_report):
    report = make_report(
        {"<i>arm</i>": 0.4},
        title=NASTY,
        rows=lambda row: row | {"prompt": NASTY + row["item_id"], "answer": NASTY + str(row["score"]), "target": NASTY},
        reproduce=[NASTY],
        data_facts={NASTY: NASTY},
    )
    opened(report)
    assert browser.execute_script("return window.hacked") is None
    assert browser.execute_script("return document.querySelectorAll('img').length") == 0
    assert NASTY in browser.execute_script("return document.querySelector('.prompt').textContent")


def test_the_difference_of_two_answers_is_marked(browser, opened, make_report):
    def rows(row):
        words = "the red lamp stands there" if row["score"] else "the red chair stands there"
        return row | {"answer": words}

    opened(make_report(rows=rows))
    marks = browser.execute_script(
        "return [...document.querySelector('.item').querySelectorAll('mark')].map((m) => m.textContent)"
    )
    assert marks == ["lamp", "chair"]


def test_answers_with_nothing_in_common_are_not_marked(browser, opened, make_report):
    opened(make_report(rows=lambda row: row | {"answer": "apple" if row["score"] else "서울"}))
    assert browser.execute_script("return document.querySelectorAll('mark').length") == 0


def test_items_in_files_beside_the_page_are_read(browser, opened, make_report, monkeypatch):
    monkeypatch.setattr("evalkit.report.payload.BUDGET", 20_000)
    monkeypatch.setattr("evalkit.report.payload.payload.__kwdefaults__", {"budget": 20_000, "max_files": 20})
    report = make_report()
    folder = opened(report)
    assert (folder / "items-1.js").exists()
    lost = sum(row["direction"] == "lost" for arm in report.arms for row in arm.comparison.flips.to_pylist())
    wait(browser, f"document.getElementById('count').textContent === '25 of {lost:,} items'")


def test_a_page_without_its_files_says_so(browser, make_report, tmp_path, monkeypatch):
    monkeypatch.setattr("evalkit.report.payload.payload.__kwdefaults__", {"budget": 20_000, "max_files": 20})
    write_report(make_report(), tmp_path)
    for file in tmp_path.glob("items-*.js"):
        file.unlink()
    browser.get((tmp_path / "report.html").as_uri())
    wait(browser, "document.getElementById('count').textContent.includes('are missing')")
    browser.get_log("browser")  # the browser's own line about each missing file


def test_tabs_and_sorting_by_keyboard(browser, opened, make_report):
    from selenium.webdriver.common.keys import Keys

    opened(make_report())
    tabs = browser.find_elements("css selector", "[role=tab]")
    tabs[0].send_keys(Keys.ARROW_RIGHT)
    assert tabs[1].get_attribute("aria-selected") == "true"
    assert browser.switch_to.active_element == tabs[1]
    panel = browser.find_element("id", tabs[1].get_attribute("aria-controls"))
    assert panel.is_displayed()
    heads = panel.find_elements("css selector", ".forest-table .sort")
    names = "return [...arguments[0].querySelectorAll('.forest-table tbody th')].map((cell) => cell.textContent)"
    heads[0].send_keys(Keys.ENTER)
    found = browser.execute_script(names, panel)
    assert found == sorted(found)
    assert heads[0].find_element("xpath", "./ancestor::th").get_attribute("aria-sort") == "ascending"
    heads[0].send_keys(Keys.ENTER)
    assert browser.execute_script(names, panel) == sorted(found, reverse=True)


@pytest.mark.parametrize("width", [360, 720, 1100])
def test_nothing_is_wider_than_the_window(browser, opened, make_report, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    opened(make_report())
    found = browser.execute_script("const root = document.documentElement; return [root.scrollWidth, root.clientWidth]")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert found[0] == found[1]
    assert width - 20 <= found[1] <= width


def test_everything_that_can_be_used_has_a_name(browser, opened, make_report):
    """Controls have labels, figures descriptions, tables captions, as a screen reader needs them."""
    opened(make_report())
    nameless = browser.execute_script(
        """return [...document.querySelectorAll('input, select, button, svg[role=img], table, [role=tablist], section')]
        .filter((node) => !(node.labels && node.labels.length) && !node.getAttribute('aria-label')
            && !node.getAttribute('aria-labelledby') && !node.querySelector('caption')
            && !(node.tagName === 'BUTTON' && node.textContent.trim()))
        .map((node) => node.outerHTML.slice(0, 80))"""
    )
    assert nameless == []


def test_json_in_the_page_is_data_not_code(opened, make_report):
    folder = opened(make_report())
    text = (folder / "report.html").read_text()
    start = text.index('id="items-data">') + len('id="items-data">')
    assert json.loads(text[start : text.index("</script>", start)])["flips"]
