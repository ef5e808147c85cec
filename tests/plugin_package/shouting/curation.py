"""Parts of the data side: a source format, a filter, a step, an embedder, a labeller, an export format, a model."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from datakit.core.step import Params, StepOutput, entry, ledger_table
from datakit.export.formats import Exported

HERE = Path(__file__).parent


def read_bars(stream, spec):
    """Lines such as ``text | label``."""
    for number, line in enumerate(stream.bytes, start=1):
        text, _, label = line.decode("utf-8").rstrip("\n").partition(" | ")
        yield number, line, {"text": text, "label": label}


def quiet(example):
    """Drops what shouts already."""
    return "loud" if (example.text or "").endswith("!!") else None


class ShoutParams(Params):
    """How loud."""

    marks: int = 1


class ShoutStep:
    """Puts exclamation marks behind every text."""

    name = "shout"
    version = 1
    kind = "row"
    Params = ShoutParams

    def __init__(self, params, context):
        self.params = params

    def fingerprint(self):
        return ""

    def apply(self, table):
        texts = table.column("text").to_pylist()
        louder = pa.array([text and text + "!" * self.params.marks for text in texts], pa.string())
        ids = table.column("id").to_pylist()
        rows = [entry("shout", id, "changed", "louder") for id, text in zip(ids, texts, strict=True) if text]
        place = table.column_names.index("text")
        return StepOutput(table.set_column(place, "text", louder), ledger_table(rows))


class Letters:
    """Counts of letters."""

    def encode(self, sentences):
        return np.array([[text.count(letter) for letter in "abcdefgh"] for text in sentences], dtype=np.float32)


def labeller():
    return HERE / "loud.yaml"


class Bars:
    """The source format, written."""

    suffix = ".jsonl"

    def row(self, example):
        return Exported({"bar": f"{example.text} | {example.label}"})

    def beside(self, files, kind):
        return {}


def model():
    from datakit import pocket

    return pocket.model_path()
