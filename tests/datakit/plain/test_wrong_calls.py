"""What a person gets who calls a command on plain files for the first time and not quite right."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from datakit.cli import root
from datakit.core.errors import DatakitError

ROWS = "subject,queue,day\n" + "".join(
    f"The parcel number {n} is late again,{'order' if n % 3 else 'refund'},{n}\n" for n in range(40)
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text(ROWS)
    return tmp_path


def call(*arguments: str, stdin: str | None = None) -> str:
    done = CliRunner().invoke(root, list(arguments), input=stdin, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_column_that_is_not_there(folder: Path) -> None:
    """The file's own columns are told, also those that no step was to see."""
    for wrong in (["split", "--group", "quue"], ["filter", "--by", "quue", "--max-rows", "3"]):
        with pytest.raises(DatakitError, match=r"no column 'quue' in the rows\. Did you mean 'queue'"):
            call(wrong[0], "a.csv", "-o", "out.csv", *wrong[1:])
    with pytest.raises(DatakitError, match=r"Known: day, queue, subject"):
        call("split", "a.csv", "-o", "out", "--time", "nothing_like_it")
    assert sorted(path.name for path in folder.iterdir()) == ["a.csv"]


def test_split_has_no_place_on_standard_output(folder: Path) -> None:
    with pytest.raises(DatakitError, match="standard output cannot hold several files"):
        call("split", "a.csv", "-o", "-")
    assert not Path("-").exists()


def test_the_sides_are_named_in_their_order(folder: Path) -> None:
    said = call("split", "a.csv", "-o", "out")
    assert [line.split()[0] for line in said.splitlines()] == ["train", "validation", "test"]


def test_a_file_of_items_that_is_not_there(folder: Path) -> None:
    """It is no task of lm-eval, so no task is said to be missing."""
    for name in ("items.csv", "folder/items.jsonl.gz"):
        with pytest.raises(DatakitError, match=f"no such file: '{name}'"):
            call("decontaminate", "a.csv", "--against", name, "-o", "out.csv")


def test_questions_end_as_questions(folder: Path) -> None:
    with pytest.raises(DatakitError, match=r"where shall the rows go\? Name"):
        call("dedup", "a.csv")


def test_standard_input_without_a_format_names_the_option(folder: Path) -> None:
    with pytest.raises(DatakitError, match="--format jsonl, json, csv"):
        call("stats", "-", stdin="Prose, and more of it.\n")


def test_offline_reaches_the_steps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tokenizer or a task of the hub is not asked for, not even to hear that nobody answers."""
    seen: list[bool] = []

    def export(suite: object, path: Path, *, offline: bool) -> Path:
        seen.append(offline)
        Path(path).write_bytes(b"")
        raise DatakitError("far enough")

    monkeypatch.setattr("evalkit.items.export_items", export)
    with pytest.raises(DatakitError, match="far enough"):
        call("decontaminate", "a.csv", "--against", "pocket", "--offline", "-o", "out.csv")
    assert seen == [True]
    with pytest.raises(DatakitError, match="the network is off"):
        call("filter", "a.csv", "--min-tokens", "3", "--tokenizer", "no/such", "--offline", "-o", "out.csv")


def test_a_first_line_that_is_a_row_is_told(folder: Path) -> None:
    """It would stand in every split and be looked at by no step; a line of names says nothing."""
    Path("rows.tsv").write_text("".join(line.replace(",", "\t") + "\n" for line in ROWS.splitlines()[1:]))
    for command in (
        ["dedup", "-o", "b.tsv"],
        ["split", "-o", "sides"],
        ["convert", "--to", "jsonl", "-o", "-"],
        ["stats"],
    ):
        told = call(command[0], "rows.tsv", *command[1:], "--column", "text=The parcel number 0 is late again")
        assert "the first line of rows.tsv was taken for column names, such as 'refund'" in told
        assert "A row? --no-header" in told
        assert "taken for" not in call(command[0], "rows.tsv", *command[1:], "--no-header", "--column", "text=column1")
    assert "taken for" not in call("dedup", "a.csv", "-o", "b.csv", "--column", "text=subject")


def test_convert_takes_the_format_from_the_ending(folder: Path) -> None:
    call("convert", "a.csv", "-o", "b.jsonl.gz")
    call("convert", "b.jsonl.gz", "-o", "c.csv")
    assert Path("c.csv").read_text() == ROWS
    for arguments in (["-o", "folder"], ["-o", "-"], []):
        done = CliRunner().invoke(root, ["convert", "a.csv", *arguments])
        assert done.exit_code == 2
        assert "into which format? --to NAME" in done.output
    assert not Path("folder").exists()


def test_a_recipe_for_standard_input(folder: Path) -> None:
    done = CliRunner().invoke(root, ["init", "-"], input=ROWS)
    assert (done.exit_code, "standard input is none" in done.output) == (2, True)


def test_filter_has_the_options_of_steps_that_drop_rows_and_says_whose_they_are() -> None:
    """A step that makes or changes rows would be offered here as soon as it is registered."""
    from datakit.cli.filter import _filters

    assert _filters() == ["balance", "language", "length", "overlap", "quality", "refusals", "select"]
    said = " ".join(call("filter", "--help").split())
    assert "--keep TEXT[,...] language: Codes of the languages wanted" in said
    assert "--min-chars INTEGER length. " in said
