"""Other forms of the report: each read back by a reader that is not ours, with hostile and Korean names."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import EvalError
from evalkit.report import write_formats
from evalkit.report.csvfile import COLUMNS, csv_text
from evalkit.report.front_figure import front_of_report
from evalkit.report.junit import junit
from evalkit.report.latex import escape, latex
from evalkit.report.plots import plots

NASTY = "a<b>&\"'%$#_{}~^\\|</svg><script>alert(1)</script>\u0000\u001b 한국어"


@pytest.fixture
def report(make_report):
    return make_report(title="지원 봇")


def test_csv_holds_every_row_as_numbers(report):
    rows = list(csv.DictReader(io.StringIO(csv_text(report), newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == sum(len(arm.comparison.rows) + 1 for arm in report.arms)
    for arm in report.arms:
        own = {row["task"]: row for row in rows if row["arm"] == arm.name}
        for row in arm.comparison.rows:
            found = own[row.task]
            assert (float(found["difference"]), float(found["low"]), float(found["high"])) == (
                row.difference,
                *row.interval,
            )
            assert found["verdict"] == row.verdict
            assert int(found["items"]) == row.n


def test_a_name_cannot_become_a_formula(make_report):
    text = csv_text(make_report({"=1+1": 0.1}))
    assert {row["arm"] for row in csv.DictReader(io.StringIO(text))} == {"'=1+1"}


@given(st.text())
def test_latex_text_has_no_command_of_its_own(text):
    found = escape(text)
    known = (
        r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|textquotedbl)\{\}|\\[&%$#_{}]"
    )
    assert not re.search(r'[\\&%$#_{}~^<>|"\n]', re.sub(known, "", found))


def test_latex_tables_balance(make_report):
    text = latex(make_report({NASTY: 0.3}, title=NASTY))
    assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == 2
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    for table in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end", text, re.S):
        lines = [line for line in table[1].splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines} == {len(table[0])}
    assert "한국어" in text


def test_latex_compiles(make_report, tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex")
    body = latex(make_report({"a_b & c%": 0.3}))
    head = "\\documentclass{article}\\usepackage{booktabs,textcomp}\\usepackage[T1]{fontenc}\\begin{document}\n"
    (tmp_path / "t.tex").write_text(head + body + "\\end{document}")
    done = subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode("latin-1")[-2000:]


def test_figures_are_xml_and_say_what_they_show(make_report):
    report = make_report({NASTY: 0.3, "lora": 0.01}, title=NASTY)
    found = plots(report)
    assert set(found) == {"gain-forgetting.svg", *(name for name in found if name.startswith("forest-"))}
    assert len(found) == 3
    for text in found.values():
        root = ElementTree.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not [node for node in root.iter() if node.tag.endswith("script")]
        assert "points" in text
    tasks = [row.task for row in report.arms[1].comparison.general]
    front = front_of_report(report)
    assert front is not None
    price = ElementTree.fromstring(found["gain-forgetting.svg"])
    shares = [f"{100 * point.share:.0f} %" for point in front.points]
    assert all(share in "".join(price.itertext()) for share in shares)
    assert "joint draws" in "".join(price.itertext())
    drawn = "".join(ElementTree.fromstring(found["forest-lora.svg"]).itertext())
    assert all(task in drawn for task in tasks)


def test_junit_has_a_case_per_task_and_the_gate(report):
    root = ElementTree.fromstring(junit(report))
    suites = {suite.get("name"): suite for suite in root}
    for arm in report.arms:
        suite = suites[arm.name]
        cases = {case.get("name"): case for case in suite}
        assert set(cases) == {*(row.task for row in arm.comparison.general), "gate"}
        for row in arm.comparison.general:
            kinds = [child.tag for child in cases[row.task]]
            assert kinds == {"regressed": ["failure"], "unsure": ["skipped"]}.get(row.verdict, [])
        assert bool(list(cases["gate"])) == (arm.gate.status != "pass")
        assert int(suite.get("tests")) == len(suite)
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped"))


def test_junit_lets_unsure_pass_on_request(make_report, make_log, make_scores):
    from evalkit.report import from_logs

    before, after = make_scores(4, 3, 60, 20)
    report = from_logs([make_log({"t": before})], {("x", 1): [make_log({"t": after}, model="x")]}, title="small")
    assert report.arms[0].gate.status == "unsure"
    assert 'name="gate" />' in junit(report, allow_unsure=True)
    assert 'name="gate">' in junit(report)


def test_junit_of_hostile_names_is_xml(make_report):
    root = ElementTree.fromstring(junit(make_report({NASTY: 0.3}, title=NASTY)))
    assert "한국어" in root[0].get("name")


def test_cards_hold_a_model_index_the_hub_reads(report, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    paths = write_formats(report, tmp_path, ["card"])
    assert [path.name for path in paths] == [f"card-{arm.name}.md" for arm in report.ranked()]
    for arm, path in zip(report.ranked(), paths, strict=True):
        data = hub.ModelCard.load(path).data
        assert data.tags == ["datakit"]
        scores = {result.dataset_name: result.metric_value for result in data.eval_results}
        assert scores == {row.task: round(row.after, 6) for row in arm.comparison.rows}
        assert {result.metric_type for result in data.eval_results} <= {"accuracy", "exact_match"}


def test_an_unknown_format_is_named(report, tmp_path):
    with pytest.raises(EvalError, match="Did you mean 'latex'"):
        write_formats(report, tmp_path, ["latx"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.xdist_group("browser")
def test_pdf_is_the_page_with_hangul(make_report, tmp_path):
    from evalkit.report.pdf import BROWSERS

    if not any(shutil.which(name) for name in BROWSERS):
        pytest.skip("no Chromium, Chrome or Edge")
    write_formats(make_report({"한글모델": 0.3}, title="지원 봇"), tmp_path, ["pdf"])
    data = (tmp_path / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert data.rstrip().endswith(b"%%EOF")
    if shutil.which("pdftotext"):
        text = subprocess.run(["pdftotext", str(tmp_path / "report.pdf"), "-"], capture_output=True, check=True).stdout
        assert "한글모델" in text.decode()


def test_without_a_browser_the_error_says_what_to_install(report, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EvalError, match="Chromium, Chrome or Edge"):
        write_formats(report, tmp_path, ["pdf"])
    assert not (tmp_path / "report.pdf").exists()
