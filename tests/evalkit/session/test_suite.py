"""Suites: what is read, what is refused and where the message points."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from datakit.core.errors import DatakitError
from evalkit.docs import read_docs
from evalkit.errors import EvalError
from evalkit.suite import load_suite
from evalkit.taskfile import ConfigSource


def write(path: Path, tasks: str, head: str = "format: 1\nname: s\nmargin: 0.03\n") -> Path:
    path.write_text(f"{head}tasks:\n{tasks}")
    return path


def test_a_suite_file_is_read(suite_file: Path) -> None:
    suite = load_suite(suite_file)
    assert [task.name for task in suite.tasks] == ["choice", "open", "prose"]
    assert [task.kind for task in suite.tasks] == ["general", "general", "drift"]
    assert [task.margin for task in suite.tasks] == [0.05] * 3
    assert suite.tasks[0].chance == 0.3
    assert suite.tasks[2].metric == "nll_per_token"
    assert suite.margin_reason == "because"


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ("  - {task: gone.yaml}\n", "gone.yaml: no such file"),
        ("  - {task: blimp_ajunct_island}\n", r":5: tasks.0.task: lm-eval has no task.*blimp_adjunct_island"),
        ("  - {metric: acc}\n", r":5: tasks.0.*Field required"),
        ("  - {task: choice.yaml, metrik: acc}\n", r":5: tasks.0.metrik: Extra"),
        ("  - {task: choice.yaml, chance: 1.5}\n", r":5: tasks.0.chance: .*less than 1"),
        ("  - {task: choice.yaml}\n  - {task: choice.yaml}\n", "names the task 'choice' twice"),
        ("  - {task: {task: a, dataset_path: json}}\n", "data_files is missing"),
        ("  - {task: {task: a, dataset_path: json, dataset_kwargs: {data_files: no.jsonl}}}\n", "no file '.*no.jsonl'"),
        ("  - {task: {task: a, dataset_path: text, dataset_kwargs: {data_files: '${NOPE}/x'}}}\n", "'NOPE' is not set"),
        ("  - {task: {task: a, doc_to_txt: x}}\n", "no key 'doc_to_txt'.*Did you mean 'doc_to_text'"),
        ("  - {task: {task: a, process_docs: os.system}}\n", "names code"),
        ("  - {task: {output_type: multiple_choice}}\n", "a task needs a name"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tasks: str, message: str, suite_file: Path) -> None:
    with pytest.raises(DatakitError, match=message) as caught:
        load_suite(write(suite_file.parent / "bad.yaml", tasks))
    assert "\n" not in str(caught.value)


def test_tags_in_users_files_are_refused(suite_file: Path) -> None:
    (suite_file.parent / "tag.yaml").write_text("task: a\ndoc_to_text: !function os.getcwd\n")
    with pytest.raises(DatakitError, match=r"tag.yaml.*function"):
        load_suite(["tag.yaml"] if Path("tag.yaml").exists() else [suite_file.parent / "tag.yaml"])


def test_unknown_suite_names_the_known_ones() -> None:
    with pytest.raises(EvalError, match="no suite named 'retain'"):
        load_suite("retain")


def test_paths_expand_and_files_of_every_format_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setenv("WHERE", str(tmp_path))
    rows = [{"text": "one", "n": 1}, {"text": "two", "n": 2}]
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "a.csv").write_text("text,n\none,1\ntwo,2\n")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for kind, name in (("json", "a.jsonl.gz"), ("json", "a.json"), ("csv", "a.csv"), ("parquet", "a.*quet")):
        config = {
            "task": "t",
            "dataset_path": kind,
            "dataset_kwargs": {"data_files": {"test": f"${{WHERE:-x}}/{name}"}},
        }
        source = ConfigSource.make(config, folder=Path("/"), where="here")
        assert list(source._read()["test"]) == rows


def test_quotes_of_a_tsv_are_text_unless_the_file_is_quoted(tmp_path: Path) -> None:
    stray = 'text\tn\n"one" and more\t1\n"two"\t2\n"never closed\t3\n'
    (tmp_path / "stray.tsv").write_text(stray)
    with gzip.open(tmp_path / "quoted.tsv.gz", "wt") as stream:
        stream.write('text\tn\n"a tab\there, a ""quote"""\t1\n"two\nlines"\t2\n')
    assert list(read_docs("csv", [tmp_path / "stray.tsv"], {})) == [
        {"text": '"one" and more', "n": 1},
        {"text": '"two"', "n": 2},
        {"text": '"never closed', "n": 3},
    ]
    texts = [row["text"] for row in read_docs("csv", [tmp_path / "quoted.tsv.gz"], {})]
    assert texts == ['a tab\there, a "quote"', "two\nlines"]


def test_text_becomes_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(" = One = \n\nfirst\n = = Part = = \nmore\n = Two = \nsecond\n")

    def read(**options: object) -> list[str]:
        config = {"task": "t", "dataset_path": "text", "dataset_kwargs": {"data_files": "a.txt", **options}}
        return [row["text"] for row in ConfigSource.make(config, folder=tmp_path, where="here")._read()["test"]]

    assert len(read()) == 6
    assert len(read(sample_by="document")) == 1
    articles = read(document_start=" = [^=].*[^=] = $")
    assert [text.split("\n")[0] for text in articles] == [" = One = ", " = Two = "]
    assert read(document_start=" = [^=].*[^=] = $", document_chars=5) == [" = On", " = Tw"]


def test_includes_are_merged_and_cycles_refused(suite_file: Path) -> None:
    folder = suite_file.parent
    (folder / "base.yaml").write_text("output_type: multiple_choice\ndoc_to_text: question\n")
    (folder / "a.yaml").write_text(
        "include: base.yaml\ntask: a\ndoc_to_text: other\ndataset_path: json\n"
        "dataset_kwargs: {data_files: choice.jsonl}\n"
    )
    source = load_suite([folder / "a.yaml"]).tasks[0].source
    assert isinstance(source, ConfigSource)
    assert source.config["output_type"] == "multiple_choice"
    assert source.config["doc_to_text"] == "other"
    (folder / "b.yaml").write_text("include: b.yaml\ntask: b\n")
    with pytest.raises(EvalError, match="includes itself"):
        load_suite([folder / "b.yaml"])


def test_identity_follows_the_data_not_the_path(suite_file: Path, tmp_path: Path, lines: Callable[..., None]) -> None:
    source = load_suite(suite_file).tasks[0].source
    before = source.identity()
    assert str(tmp_path) not in json.dumps(before)
    lines(tmp_path / "choice.jsonl", [{"question": "q", "options": ["a", "b"], "gold": 0}])
    assert source.identity() != before


def test_groups_are_one_task_of_all_their_tasks() -> None:
    from evalkit.groups import GroupSource

    found = {task.name: task for task in load_suite(["mmlu", "blimp", "haerae"]).tasks}
    sources = {name: task.source for name, task in found.items()}
    assert all(isinstance(source, GroupSource) for source in sources.values())
    assert {name: len(source.members) for name, source in sources.items()} == {"mmlu": 57, "blimp": 67, "haerae": 5}


@pytest.mark.slow
def test_our_suites_and_quick_index_agree_with_lm_evals_index() -> None:
    """lm-eval's own index, which takes ten seconds, knows every task, group and metric of ours."""
    from lm_eval.tasks import TaskManager

    from evalkit.builtin import task_files
    from evalkit.groups import GroupSource, members
    from evalkit.needs import task_config

    index = TaskManager()
    assert set(task_files()) - set(index.all_tasks) == set()
    for name in ("retain-core", "retain-korean"):
        for task in load_suite(name).tasks:
            if task.name == "thinking":
                continue
            given = [task_config(source).get("metric_list") or [] for source in members(task.source)]
            assert all(task.metric in {one["metric"] for one in listed} for listed in given)
            if isinstance(task.source, GroupSource):
                assert set(task.source.members) <= set(index.all_subtasks)
                assert task.source.name in index.all_groups + index.all_tags
            else:
                assert task.name in index.all_subtasks
