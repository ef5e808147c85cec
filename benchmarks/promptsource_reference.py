"""Compares our rendering with the real promptsource 0.2.3, template by template.

    pip download --no-deps --ignore-requires-python --no-binary :all: promptsource==0.2.3 -d downloads
    python benchmarks/promptsource_reference.py downloads/promptsource-0.2.3.tar.gz

The archive is unpacked to a temporary folder, and its own ``templates.py`` is executed there in this process, with
stand-ins for the two imports it does not need here (pandas, pkg_resources). Rows are generated from each template's
variables: how they are used says whether a text, a number, a list or a mapping fits, and rows with other types are
rendered too, so that both sides' errors are compared.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import random
import sys
import tarfile
import tempfile
import types
from collections import Counter
from pathlib import Path
from typing import Any

from datakit.core.errors import DatakitError
from datakit.templates import Template, load_collection

TEXTS = (
    "The committee met on Tuesday and approved the budget.",
    "a ||| b|||c",
    "  spaces around  ",
    "부산에서 열린 회의는 세 시간 만에 끝났다. 🙂",
    "{{ not a variable }} {% raw %} <b>&amp;</b>",
    "line one\nline two\n\n",
    "x",
    "",
)


def load_reference(folder: Path) -> Any:
    """The real module ``promptsource.templates`` from an unpacked archive."""
    source = next(folder.rglob("promptsource/templates.py"))
    for name in ("pandas", "pkg_resources"):
        stand_in = types.ModuleType(name)
        stand_in.__dict__["resource_filename"] = lambda _, below: str(source.parent / below)
        sys.modules.setdefault(name, stand_in)
    spec = importlib.util.spec_from_file_location("promptsource_reference_templates", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def value(name: str, kind: int, rng: random.Random) -> Any:
    """A value for a variable; ``kind`` walks through the types, so that each variable meets several."""
    text = rng.choice(TEXTS)
    word = rng.choice(("alpha", "beta", "gamma", "delta ||| epsilon"))
    guesses: tuple[Any, ...] = (
        text,
        rng.randrange(0, 3),
        [rng.choice(TEXTS) for _ in range(rng.randrange(1, 5))],
        {"text": [text, word], "label": [0, 1], "answer_start": [3], "id": 5, "text_list": [word]},
        [{"text": text, "label": 1, "name": word, "answer": [word]} for _ in range(2)],
        rng.choice((0.5, -1, True, None, 12345678901234567890)),
    )
    if kind == 0:
        lowered = name.lower()
        if "label" in lowered or lowered.endswith(("_id", "idx", "answer_index")):
            return rng.randrange(0, 2)
        if lowered.endswith("s") and not lowered.endswith(("ss", "news")):
            return guesses[2]
        return text
    if kind <= 5:
        return guesses[kind % len(guesses)]
    return rng.choice(guesses)


def rows_for(template: Template, count: int, *, tries: int = 200) -> list[dict[str, Any]]:
    """Rows with the template's variables: ``count`` of walking types, then one that gives prompt and answer."""
    rng = random.Random(template.id)
    try:
        names = template.facts().variables
    except DatakitError:
        names = ("text", "label")
    rows = [{name: value(name, kind, rng) for name in names} for kind in range(count)]
    mixed = [{name: value(name, 6 * (k > 0), rng) for name in names} for k in range(tries)]
    fitting = (
        row
        for row, made in zip(mixed, template.render(mixed, seeds=list(range(tries))), strict=True)
        if made.error is None and len(made.parts) == 2
    )
    first = next(fitting, None)
    return rows if first is None else [*rows, first]


def outcome(call: Any, *arguments: Any, **named: Any) -> tuple[str, Any]:
    """What a call gives: its value, or that it raised."""
    try:
        return "value", call(*arguments, **named)
    except Exception as error:
        return "error", f"{type(error).__name__}: {error}"


def compare(reference: Any, ours: Template, rows: list[dict[str, Any]], found: Counter[str]) -> list[str]:
    """Renders every row with both; returns what differs."""
    theirs = reference.Template(ours.name, ours.jinja, ours.reference, None, ours.answer_choices)
    wrong = []
    fits = 0
    for k, row in enumerate(rows):
        random.seed(k)
        expected = outcome(theirs.apply, copy.deepcopy(row), truncate=False)
        after = random.random()
        for seeding in ("seed", "global"):
            random.seed(k)
            got = outcome(ours.apply, row, seed=k) if seeding == "seed" else outcome(ours.apply, row)
            if expected[0] != got[0] or (expected[0] == "value" and expected[1] != got[1]):
                wrong.append(f"{ours.key} row {k} ({seeding}): {expected!r} is not {got!r}")
        if expected[0] == "value" and random.random() != after:
            wrong.append(f"{ours.key} row {k}: the global generator stands elsewhere")
        found[f"apply_{expected[0]}"] += 1
        two = expected[0] == "value" and len(expected[1]) == 2
        found["two_parts"] += two
        fits += two
        random.seed(k)
        expected = outcome(theirs.get_answer_choices_list, copy.deepcopy(row))
        random.seed(k)
        got = outcome(ours.get_answer_choices_list, row)
        if expected[0] != got[0] or (expected[0] == "value" and expected[1] != got[1]):
            wrong.append(f"{ours.key} row {k} choices: {expected!r} is not {got!r}")
        found[f"choices_{expected[0]}"] += 1
    found["templates_with_prompt_and_answer"] += fits > 0
    return wrong


def main() -> None:
    """Prints the figures and writes them where ``--output`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="promptsource-0.2.3.tar.gz")
    parser.add_argument("--templates", type=Path, help="a folder of templates.yaml instead of the archive's")
    parser.add_argument("--rows", type=int, default=8, help="generated rows per template")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/promptsource_reference.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(options.archive) as archive:
            archive.extractall(folder, filter="data")
        reference = load_reference(Path(folder))
        collection = load_collection(options.templates or options.archive)
        found: Counter[str] = Counter()
        wrong: list[str] = []
        same = set(collection)
        for key, template in collection.items():
            differences = compare(reference, template, rows_for(template, options.rows), found)
            if differences:
                same.discard(key)
                wrong += differences
        files = {template.collection for template in collection.values()}
        bad = {collection[key].collection for key in collection if key not in same}
        result: dict[str, Any] = {
            "files": len(files),
            "files_identical": len(files) - len(bad),
            "templates": len(collection),
            "templates_identical": len(same),
            "renderings": dict(sorted(found.items())),
        }
    for line in wrong[:20]:
        print(line[:600])
    print(json.dumps(result, indent=1))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"format": 1, **result}, indent=1) + "\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
