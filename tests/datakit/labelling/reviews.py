"""A small project with a label step: reviews of films, of which a third has gold."""

from __future__ import annotations

import json

import pyarrow.parquet as pq

from datakit.core.example import from_table

RECIPE = """\
format: 1
name: reviews
seeds: [1]
data:
  sources:
    reviews: {{path: reviews.csv, columns: {{text: text}}}}
  steps:
    - label:
        use: sentiment
        redact: false
        models: [{{model: stub, server: "{url}", timeout: 5}}]
        {extra}
    - split: {{validation: 0.1, test: 0.2}}
model: pocket
"""


def judge(text, body):
    return json.dumps({"label": "positive" if "good" in text else "negative"})


def dataset(run):
    found = {}
    for file in sorted((run / "data").glob("*-00000-*.parquet")):
        found[file.name.partition("-")[0]] = list(from_table(pq.read_table(file)))
    return found
