"""The review page in headless Chromium, by keyboard."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from conftest import rows

from datakit.labelling.folder import LabelFolder

ROOT = Path(__file__).resolve().parents[3]
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
        flags += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}"]
        for flag in [*flags, "--window-size=1000,900"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        driver.set_page_load_timeout(60)
        yield driver
        driver.quit()


class Server:
    """``datakit review`` in a process of its own."""

    def __init__(self, folder, *options):
        call = [sys.executable, "-m", "datakit", "review", "run", "--who", "Ada", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(call, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().split()[-1]

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        self.process.wait(timeout=20)
        self.process.stdout.close()


def until(condition, what):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def press(browser, key):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser).send_keys(key).perform()


def opened(browser, address):
    browser.get(address)
    until(lambda: browser.find_element("tag name", "body").get_attribute("data-ready"), "the page is not ready")


def shown(browser):
    return browser.find_element("id", "text").text


def count(browser):
    return browser.find_element("id", "count").text


def test_a_person_judges_by_keyboard_and_nothing_is_lost(browser, labelled, stub, tmp_path):
    from selenium.webdriver.common.keys import Keys

    stub.answer = lambda text, body: json.dumps({"label": "positive"})
    table = rows(5, "<script>document.title='no'</script> & row {}")
    labelled(table)
    server = Server(tmp_path)
    try:
        opened(browser, server.address)
        assert count(browser) == "0 of 5 judged"
        first = shown(browser)
        assert first.startswith("<script>")  # a row's text is text
        assert browser.title == "Review · sentiment"
        press(browser, "2")
        until(lambda: count(browser).startswith("1 of"), "1 is not counted")
        until(lambda: shown(browser) != first, "the next row does not come")
        second = shown(browser)
        press(browser, Keys.ENTER)
        until(lambda: count(browser).startswith("2 of") and shown(browser) != second, "2 is not counted")
        server.stop(signal.SIGKILL)

        with LabelFolder.of(tmp_path / "run").corrections() as said:
            history = said.history()
        assert [(one.value, one.who) for one in history] == [("negative", "Ada"), ("positive", "Ada")]
        assert all(abs(one.at - time.time()) < 300 for one in history)

        server = Server(tmp_path)
        opened(browser, server.address)
        assert count(browser) == "2 of 5 judged"
        third = shown(browser)
        press(browser, "s")
        until(lambda: shown(browser) != third, "a row is not skipped")
        press(browser, "u")
        until(lambda: count(browser).startswith("1 of"), "nothing was taken back")
        assert browser.get_log("browser") == []
    finally:
        server.stop()


def test_kinds_that_need_more_than_a_key(browser, stub, labelled, tmp_path):
    from selenium.webdriver.common.keys import Keys

    stub.answer = lambda text, body: json.dumps({"labels": ["sport"]})
    labelled(rows(1), use="topics")
    server = Server(tmp_path)
    try:
        opened(browser, server.address)
        press(browser, "1")
        press(browser, Keys.ENTER)
        until(lambda: count(browser).startswith("1 of"), "several options")
    finally:
        server.stop()
    with LabelFolder.of(tmp_path / "run").corrections() as said:
        assert [one.value for one in said.history()] == ['["politics", "sport"]']


def test_spans_are_marked_in_a_text_with_wide_characters(browser, stub, labelled, tmp_path):
    from selenium.webdriver.common.keys import Keys

    stub.answer = lambda text, body: json.dumps({"spans": [{"text": "Oslo", "label": "place"}]})
    labelled(rows(1, "😀😀 Ada went to Oslo"), use="entities")
    server = Server(tmp_path)
    try:
        opened(browser, server.address)
        assert browser.find_element("css selector", "#text mark").text == "Oslo"
        # Ada is characters 3 to 6, and 5 to 8 in the browser's units.
        select = (
            "const node = document.getElementById('text').firstChild, range = document.createRange();"
            "range.setStart(node, 5); range.setEnd(node, 8); getSelection().removeAllRanges();"
            "getSelection().addRange(range);"
        )
        browser.execute_script(select)
        press(browser, "1")
        until(lambda: len(browser.find_elements("css selector", "#text mark")) == 2, "no second mark")
        press(browser, Keys.ENTER)
        until(lambda: count(browser).startswith("1 of"), "spans are not kept")
    finally:
        server.stop()
    with LabelFolder.of(tmp_path / "run").corrections() as said:
        (one,) = said.history()
    assert json.loads(one.value) == [[3, 6, "person"], [15, 19, "place"]]
