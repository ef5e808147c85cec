import json

import pytest
from click.testing import CliRunner

from datakit.cli.templates import command
from datakit.core.errors import SourceError, TemplateError, UsageError


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DATAKIT_PROMPTSOURCE", raising=False)
    (tmp_path / "tickets.csv").write_text("id,text,label\n1,[bold]Money back,refund\n2,Where is it?,order\n")

    def run(*arguments):
        done = CliRunner().invoke(command, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return run


def test_list(call):
    assert "classify.ko   6  short" in call("list")
    assert "classify.en" not in call("list", "--language", "ko")
    assert json.loads(call("list", "--json"))["library"]["qa.en"][0] == "short"
    assert "datakit templates install" in call("list")


def test_show(call):
    assert "columns: label, labels, text" in call("show", "classify/short")
    assert json.loads(call("show", "qa/short", "--language", "ko", "--json"))["templates"][0]["name"] == "qa.ko/short"
    with pytest.raises(TemplateError, match="Did you mean 'classify'"):
        call("show", "clasify")


def test_render(call):
    said = call("render", "tickets.csv", "--template", "classify/short")
    assert (
        "tickets.csv:2 · classify.en/short\n  user\n    [bold]Money back\n    Category:\n  assistant\n    refund"
        in said
    )
    assert "one of 2: order, refund" in said
    made = json.loads(
        call("render", "tickets.csv", "--template", "classify", "--rows", "1", "--per-row", "3", "--json")
    )
    assert len(made["rows"]) == 3
    assert call("render", "tickets.csv", "--template", "classify", "--quiet") == ""


def test_render_maps_columns_and_orders_labels(call, tmp_path):
    (tmp_path / "sms.tsv").write_text("message\tkind\nwin\t1\n")
    said = call(
        "render", "sms.tsv", "--template", "classify/short", "--labels", "ham, spam",
        "--column", "text=message", "--column", "label=kind",
    )  # fmt: skip
    assert "    spam" in said
    for wrong, error in (
        (("--column", "text"), UsageError),
        (("--column", "txt=message"), UsageError),
        (("--column", "text=body"), SourceError),
    ):
        with pytest.raises(error):
            call("render", "sms.tsv", "--template", "classify/short", *wrong)


def test_render_recognises_columns_as_other_commands_do(call, tmp_path):
    (tmp_path / "bank.csv").write_text("text,category\nwhere is my card,card\nwhat is the rate,rate\n")
    said = call("render", "bank.csv", "--template", "classify/short", "--rows", "1")
    assert said.startswith("columns: label from 'category'\n")
    assert "    card\n" in said
    assert "one of 2: card, rate" in said
    said = call("render", "bank.csv", "--template", "classify/short", "--column", "text=category", "--rows", "1")
    assert "    card\n    Category:\n" in said


def test_a_row_that_no_template_fits_is_named(call, tmp_path):
    call("new", "t.yaml")
    (tmp_path / "gap.jsonl").write_text('{"text": "a", "label": "x", "note": null}\n')
    text = (tmp_path / "t.yaml").read_text()
    (tmp_path / "t.yaml").write_text(text.replace("{{ text }}", "{{ note }}"))
    assert "gap.jsonl:1 · no template fits this row (no answer)" in call(
        "render", "gap.jsonl", "--template", "t.yaml:short"
    )


def test_new_writes_a_file_that_renders(call, tmp_path):
    assert "wrote     mine.yaml\nnext      datakit templates render FILE --template mine.yaml" in call(
        "new", "mine.yaml", "--task", "tone", "--language", "ko"
    )
    assert "Category:" in call("render", "tickets.csv", "--template", "mine.yaml:short")
    with pytest.raises(UsageError, match="exists"):
        call("new", "mine.yaml")
    with pytest.raises(TemplateError, match="language"):
        call("new", "other.yaml", "--language", "Korean")
    assert not (tmp_path / "other.yaml").exists()


def test_install_from_an_archive_that_is_none(call, tmp_path):
    (tmp_path / "p.tar.gz").write_bytes(b"x")
    with pytest.raises(TemplateError, match="not a readable archive"):
        call("install", "--from", "p.tar.gz")
