"""Comparison with texts that stay: a reference set, an index of earlier rows; answers to one prompt; meanings."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.core.errors import NewerFormat, StepError
from datakit.core.example import Example, Message, to_table
from datakit.core.step import StepContext
from datakit.dedup import DedupIndex, cluster, deduplicate, signatures
from datakit.dedup.step import DedupStep
from datakit.text.kernel import Scheme

WORDS = [f"w{i}" for i in range(60)]
TEXT, NEAR = " ".join(WORDS), " ".join([*WORDS[:-1], "other"])


def example(number, text=None, label=None, turns=()):
    messages = tuple(Message(role, content) for role, content in turns) or None
    key = f"id{number}"
    return Example(id=key, group=key, source="s", origin="f", text=text, label=label, messages=messages)


def run(rows, folder, **params):
    table = to_table(rows)
    output = DedupStep(DedupStep.Params(**params), StepContext(folder=folder)).apply(table)
    output.balance("dedup", table.num_rows)
    evidence = {row["example_id"]: json.loads(row["evidence"]) for row in output.ledger.to_pylist()}
    return output.table.column("id").to_pylist(), evidence


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 59))
def test_against_is_the_same_as_standing_first(edited_texts, seed, cut):
    texts = edited_texts(60, seed)
    result = deduplicate(texts[cut:], against=texts[:cut])
    for row, text in enumerate(texts[cut:]):
        alone = deduplicate([*texts[:cut], text]).partner[-1]
        if alone >= 0:
            assert not result.keep[row]
            assert result.outside[row] >= 0 or result.partner[row] >= 0
        if result.outside[row] >= 0:
            assert deduplicate([texts[int(result.outside[row])], text]).partner[1] == 0
    kept = [text for text, stays in zip(texts[cut:], result.keep, strict=True) if stays]
    assert deduplicate(kept, against=texts[:cut]).keep.all()


def test_reference_texts_are_never_compared_with_one_another():
    result = deduplicate([NEAR, "else"], against=[TEXT] * 5)
    assert result.keep.tolist() == [False, True]
    assert result.outside.tolist() == [0, -1]
    assert result.similarity[0] == 55 / 57
    assert result.pairs.num_rows == 0
    assert result.rethreshold(0.99).keep.all()


def test_an_index_remembers_what_was_kept(tmp_path):
    index = DedupIndex(tmp_path / "index", Scheme())
    assert index.add([TEXT, "short"], ["a", "b"]) == 2
    assert index.add([TEXT], ["a"]) == 0
    again = DedupIndex(tmp_path / "index", Scheme())
    result = deduplicate([NEAR, "new", "short"], ids=["c", "d", "e"], index=again)
    assert result.keep.tolist() == [False, True, False]
    assert again.table().column("id").to_pylist() == ["a", "b"]
    assert [again.table().column("id")[int(n)].as_py() for n in result.outside[[0, 2]]] == ["a", "b"]
    assert deduplicate([TEXT], ids=["a"], index=again).keep.all()  # the same row come again


def test_an_index_of_another_scheme_or_version_is_refused(tmp_path):
    DedupIndex(tmp_path, Scheme())
    with pytest.raises(StepError, match="made with ngram '5', not '3'"):
        DedupIndex(tmp_path, Scheme(ngram=3))
    path = tmp_path / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hashes": 1}))
    with pytest.raises(StepError, match="made with hashes '1'"):
        DedupIndex(tmp_path, Scheme())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(NewerFormat):
        DedupIndex(tmp_path, Scheme())


def test_the_step_with_an_index_names_the_old_partner(tmp_path):
    first = [example(1, TEXT, "a"), example(2, NEAR, "a"), example(3, "else", "b")]
    assert run(first, tmp_path, index="kept")[0] == ["id1", "id3"]
    assert run(first, tmp_path, index="kept")[0] == ["id1", "id3"]  # a build that runs again
    kept, evidence = run([example(4, NEAR, "a"), example(5, "else", "c"), example(6, "new")], tmp_path, index="kept")
    assert kept == ["id6"]
    assert evidence["id4"] == {"partner": "id1", "in": "index", "similarity": round(55 / 57, 4)}
    assert evidence["id5"]["partner"] == "id3"
    fingerprint = DedupStep(DedupStep.Params(index="kept"), StepContext(folder=tmp_path)).fingerprint()
    run([example(7, "more")], tmp_path, index="kept")
    assert DedupStep(DedupStep.Params(index="kept"), StepContext(folder=tmp_path)).fingerprint() != fingerprint


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "txt"])
def test_the_step_against_a_file(tmp_path, kind):
    path = tmp_path / f"old.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps({"question": text}) + "\n" for text in ("x", TEXT)))
    elif kind == "csv":
        path.write_text(f"content\nx\n{TEXT}\n")
    elif kind == "txt":
        path.write_text(f"x\n{TEXT}\n")
    else:
        pq.write_table(pa.table({"text": ["x", TEXT]}), path)
    kept, evidence = run([example(1, NEAR), example(2, "y")], tmp_path, against=path.name)
    assert kept == ["id2"]
    assert (evidence["id1"]["in"], evidence["id1"]["partner"]) == ("against", f"old.{kind}:2")


def test_a_reference_without_such_a_column_is_refused(tmp_path):
    (tmp_path / "old.csv").write_text("a,b\n1,2\n")
    with pytest.raises(StepError, match=r"no column 'auto' .*against_column to one of: a, b"):
        run([example(1, "x")], tmp_path, against="old.csv")
    with pytest.raises(StepError, match=r"no file 'missing.csv'"):
        run([example(1, "x")], tmp_path, against="missing.csv")


def test_answers_are_compared_within_their_prompt(tmp_path):
    def chat(number, prompt, answer):
        return example(number, turns=[("user", prompt), ("assistant", answer)])

    rows = [chat(1, "Q1", TEXT), chat(2, "q1 ", NEAR), chat(3, "Q2", TEXT), chat(4, "Q2", "no"), chat(5, "Q3", "no")]
    assert run(rows, tmp_path, on="answer", within="prompt")[0] == ["id1", "id3", "id4", "id5"]
    assert run(rows, tmp_path, on="answer")[0] == ["id1", "id4"]


def test_groups_keep_large_buckets_apart():
    texts, prompts = [NEAR, TEXT] * 300, [str(n // 2) for n in range(600)]
    result = deduplicate(texts, within=prompts)
    assert result.keep.tolist() == [True, False] * 300
    assert (result.partner[1::2] == np.arange(0, 600, 2)).all()


def test_exact_only(tmp_path):
    rows = [example(1, TEXT), example(2, TEXT.upper()), example(3, NEAR)]
    assert run(rows, tmp_path, method="exact")[0] == ["id1", "id3"]


class Letters:
    """Counts of letters as a meaning."""

    def encode(self, sentences):
        return np.array([[text.count(letter) for letter in "abcdefgh"] for text in sentences], dtype=float)


@settings(max_examples=40)
@given(st.lists(st.text(alphabet="abcdefgh", max_size=6), max_size=30), st.sampled_from([0.6, 0.9, 1.0]))
def test_meanings_by_brute_force(texts, threshold):
    vectors = Letters().encode(texts).reshape(len(texts), 8)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
    alike = (vectors / lengths[:, None]) @ (vectors / lengths[:, None]).T
    kept = []
    for row in range(len(texts)):
        if not any(alike[row, other] >= threshold - 1e-6 or texts[row] == texts[other] for other in kept):
            kept.append(row)
    result = deduplicate(texts, embedder=Letters(), threshold=threshold - 1e-6)
    assert np.flatnonzero(result.keep).tolist() == kept


def test_meanings_with_labels_and_a_reference():
    texts, labels = ["aab", "baa", "cc", "ccc"], ["x", "y", "x", "x"]
    result = deduplicate(texts, embedder=Letters(), threshold=0.99, labels=labels)
    assert result.keep.tolist() == [False, False, True, False]
    assert result.conflict.tolist() == [True, True, False, False]
    assert (
        deduplicate(texts, embedder=Letters(), threshold=0.99, against=["c"]).keep.tolist()
        == [True, False] + [False] * 2
    )


@pytest.mark.real
def test_static_embeddings_find_a_paraphrase(real_data, tmp_path):
    texts = ["How do I reset my password?", "How can I reset my password?", "What is the capital of France?"]
    rows = [example(number, text) for number, text in enumerate(texts)]
    model = str(real_data / "weights/model2vec_bge128")
    assert run(rows, tmp_path, method="semantic", model=model, threshold=0.85)[0] == ["id0", "id2"]


@pytest.mark.parametrize(
    "params",
    [
        {"method": "semantic"},
        {"model": "x"},
        {"within": "prompt", "index": "x"},
        {"method": "semantic", "model": "x", "index": "y"},
        {"against_column": "x"},
    ],
)
def test_what_does_not_go_together(params):
    with pytest.raises(ValueError, match=r"need|does not go"):
        DedupStep.Params(**params)


def test_signatures_in_files_are_clustered_like_tables(tmp_path, edited_texts):
    texts = edited_texts(500, 12)
    tables = [signatures(texts[:200]), signatures(texts[200:])]
    pq.write_table(tables[0], tmp_path / "a.parquet")
    with pa.ipc.new_file(str(tmp_path / "b.arrow"), tables[1].schema) as writer:
        writer.write_table(tables[1])
    found = cluster([tmp_path / "a.parquet", tmp_path / "b.arrow"])
    assert found.keep.tolist() == deduplicate(texts).keep.tolist()
    assert found.pairs.equals(deduplicate(texts).pairs)
    assert found.rethreshold(0.6).keep.tolist() == deduplicate(texts, threshold=0.6).keep.tolist()
    (tmp_path / "c.parquet").write_bytes(b"no")
    with pytest.raises(StepError, match="cannot read the signatures"):
        cluster([tmp_path / "c.parquet"])
