"""report.html: one offline file, texts as inert JSON, private texts left out, small enough, and figures that fit."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

from evalkit.log import ITEMS, EvalLog, LogHeader, TaskInfo
from evalkit.report import from_logs, write_report
from evalkit.report.html import page
from evalkit.report.payload import payload


class Reader(HTMLParser):
    """Elements, ids, and the texts of scripts."""

    VOID = frozenset({"meta", "input", "br", "img", "link"})

    def __init__(self):
        super().__init__()
        self.tags, self.ids, self.attributes, self.scripts, self.open = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    return reader


def items(text: str) -> dict:
    return json.loads(read(text).scripts[0])


@pytest.fixture
def text(make_report) -> str:
    return page(make_report())


def test_it_asks_nobody(text):
    reader = read(text)
    loading = [entry for entry in reader.attributes if entry[1] in ("src", "href", "srcset", "action", "data")]
    assert loading == []
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|https?://", text)
    policy = next(value for _, name, value in reader.attributes if name == "content" and "default-src" in value)
    assert policy.startswith("default-src 'none'")


def test_the_policy_allows_exactly_our_script(text):
    import base64
    import hashlib

    script = read(text).scripts[1]
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in text


def test_the_verdict_stands_first(text):
    title = re.search(r"<h1>(.*?)</h1>", text)
    assert title is not None
    assert title[1].startswith("lora gained")


def test_hostile_texts_stay_texts(make_report):
    nasty = '</script><script>alert(1)</script><!--<img src=x onerror="alert(2)">&amp;\u2028'
    report = make_report(
        {"<b>arm</b>": 0.4},
        title=nasty,
        rows=lambda row: row | {"prompt": nasty + row["item_id"], "answer": nasty + row["task"]},
        reproduce=[nasty],
        data_facts={nasty: nasty},
    )
    reader = read(page(report))
    assert len(reader.scripts) == 2
    assert "img" not in reader.tags
    assert "b" not in reader.tags
    data = json.loads(reader.scripts[0])
    assert data["items"][0][2].startswith(nasty)


def test_every_flip_is_in_the_data(make_report):
    report = make_report()
    data = items(page(report))
    assert len(data["flips"]) == sum(arm.comparison.flips.num_rows for arm in report.arms)
    assert data["left_out"] == 0
    arm, item, direction, status, _ = data["flips"][0]
    assert data["arms"][arm] == "lora"
    assert data["items"][item][0] != "support"
    assert direction in ("lost", "gained")
    assert status == "wrong"


def test_korean_is_kept(make_report):
    report = make_report(rows=lambda row: row | {"prompt": f"대한민국의 수도는? {row['item_id']}", "target": "서울"})
    assert "대한민국의 수도는?" in page(report)
    assert items(page(report))["items"][0][3] == "서울"


def test_private_texts_never_enter(make_report, tmp_path):
    from evalkit.report.terminal import lines

    def rows(row):
        secret = {
            "prompt": "SECRET-p",
            "answer": f"SECRET-{row['score']}",
            "target": "SECRET-t",
            "item_id": "SECRET-" + row["item_id"],
        }
        return row | secret if row["task"] == "support" else row

    report = make_report(rows=rows, private=True)
    for path in write_report(report, tmp_path).values():
        assert "SECRET" not in path.read_text()
    assert "SECRET" not in "\n".join(lines(report))
    assert "SECRET" in page(make_report(rows=rows))


def big_log(model: str, lost: float) -> EvalLog:
    """20 tasks of 2,000 items with long texts, made column by column."""
    random, items, names = np.random.default_rng(len(model)), 2_000, [f"task_{number:02d}" for number in range(20)]
    n = items * len(names)
    ids = [f"{number:05d}" for number in range(items)] * len(names)
    keys = [f"{number}" for number in range(n)]
    score = (random.random(n) >= lost).astype(float)
    prompts = [f"{key} " + "가나다 long prompt " * 60 for key in keys]
    columns: dict[str, object] = dict.fromkeys(ITEMS.names, None) | {
        "task": [name for name in names for _ in range(items)],
        "item_id": ids,
        "doc_hash": keys,
        "prompt_hash": keys,
        "target_hash": keys,
        "metric": ["acc"] * n,
        "filter": ["none"] * n,
        "is_primary": [True] * n,
        "score": score,
        "prompt": prompts,
        "answer": [f"{key} {model} " * 60 for key in keys],
        "target": keys,
        "status": ["ok"] * n,
    }
    arrays = {
        name: pa.nulls(n, ITEMS.field(name).type) if value is None else pa.array(value, ITEMS.field(name).type)
        for name, value in columns.items()
    }
    header = LogHeader(suite="big", model=model, tasks=dict.fromkeys(names, TaskInfo()))
    return EvalLog(header, pa.table(arrays, schema=ITEMS))


def test_twenty_tasks_of_two_thousand_items_stay_small(tmp_path):
    """Long prompts and answers, two arms, one of which forgets nearly half: the page is small, and no item is lost."""
    arms = {("full", 1): [big_log("full", 0.45)], ("lora", 1): [big_log("lora", 0.03)]}
    report = from_logs([big_log("base", 0.0)], arms, title="big")
    assert len(page(report).encode()) < 3_000_000
    (tmp_path / "items-99.js").write_text("datakitItems(99,{});")
    (tmp_path / "items-98.js").write_text("somebody else's")
    write_report(report, tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert len(text.encode()) < 3_000_000
    data = items(text)
    names = [part["file"] for part in data["parts"]]
    assert sorted(file.name for file in tmp_path.glob("items-*.js")) == sorted([*names, "items-98.js"])
    found = [(data["arms"][flip[0]], *data["items"][flip[1]][:2]) for flip in data["flips"]]
    for name in names:
        call = (tmp_path / name).read_text()
        assert len(call.encode()) < 3_000_000
        part = json.loads(re.fullmatch(r"datakitItems\(\d+,(.*)\);\n", call, re.S)[1])
        found += [(data["arms"][flip[0]], *part["items"][flip[1]][:2]) for flip in part["flips"]]
    wanted = [
        (report.label(arm), row["task"], row["item_id"])
        for arm in report.arms
        for row in arm.comparison.flips.to_pylist()
    ]
    assert data["left_out"] == 0
    assert sorted(found) == sorted(wanted)
    # every task and arm is in the page itself
    assert {row[0] for row in data["items"]} == {row.task for row in report.arms[0].comparison.general}
    assert {arm for arm, *_ in data["flips"]} == {0, 1}


def test_what_no_file_holds_is_counted():
    report = from_logs([big_log("base", 0.0)], {("x", 1): [big_log("x", 0.2)]}, title="big")
    made = payload(report, budget=50_000, max_files=2)
    held = len(json.loads(made.inline)["flips"])
    held += sum(len(json.loads(text.partition(",")[2].rstrip(");\n"))["flips"]) for text in made.files.values())
    assert len(made.files) == 2
    assert held + made.left_out == report.arms[0].comparison.flips.num_rows


def test_every_row_is_drawn_inside_its_figure(text):
    for position in re.findall(r'(?:x|x1|x2)="(-?[\d.]+)%"', text):
        assert 0 <= float(position) <= 100
    labels = re.findall(r'role="img" aria-label="([^"]*)"', text)
    assert len(labels) == 2 * 9  # eight tasks and their mean, for two arms
    assert any(label.startswith("sums: ") and "95 % interval" in label for label in labels)


def test_verdicts_differ_by_shape_not_by_colour_alone():
    from evalkit.report.figures import SHAPES

    assert len(set(SHAPES.values())) == len(SHAPES)


def test_one_arm_without_a_task_of_its_own(make_log, make_scores):
    before, after = make_scores(45, 20, 300, 135)
    report = from_logs(
        [make_log({"sums": before})], {("x", None): [make_log({"sums": after}, model="x")]}, title="plain"
    )
    text = page(report)
    read(text)
    assert "x: regressed on 1 of 1 tasks." in text.replace("x regressed", "x: regressed")
    assert "tablist" not in text.split("<script")[0].split("</style>")[1]


def test_nothing_flipped(make_log):
    log = make_log({"a": [1.0, 0.0]})
    text = page(from_logs([log], {("x", None): [log]}, title="same"))
    read(text)
    assert "Was the adapter applied?" in text
