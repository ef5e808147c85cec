"""The two tables labelling gives: one row per vote, and one per example."""

from __future__ import annotations

import pyarrow as pa

__all__ = ["RESULT_SCHEMA", "STATUSES", "VOTES_SCHEMA"]

#: Of a vote: usable, refused by the model, none of the options, not readable, refused by the server, longer than the
#: local model holds.
STATUSES = ("ok", "refused", "outside", "unreadable", "failed", "too_long")

VOTES_SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("labeller", pa.string()),
        ("model", pa.string()),
        ("prompt", pa.string()),  # hash of all that was asked: labeller, input, model, sampling
        ("vote", pa.int32()),  # 0, 1, ... of the same model on the same example
        ("status", pa.string()),
        ("value", pa.string()),  # what votes are compared by: option, `a`/`b`, or canonical JSON
        ("answer", pa.string()),  # JSON, personal data put back
        ("probabilities", pa.string()),  # JSON, option to probability; null where the model gives none
        ("tokens_in", pa.int64()),
        ("tokens_out", pa.int64()),
        ("cost", pa.float64()),
        ("cached", pa.bool_()),
    ]
)

RESULT_SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("label", pa.string()),  # null where no vote is usable
        ("confidence", pa.float64()),  # 0 to 1, calibrated where there was gold enough
        ("raw_confidence", pa.float64()),
        ("agreement", pa.float64()),  # share of the votes that say the label, unusable votes counted against it
        ("votes", pa.int32()),  # usable ones
        ("asked", pa.int32()),
        ("status", pa.string()),  # ok, or why there is no label: empty, or the commonest status of the votes
        ("distribution", pa.string()),  # JSON, value to share or probability
        ("gold", pa.string()),  # what people said, on the sample that measures; else null
        ("correction", pa.string()),  # what people said in review; it stands in place of the label
    ]
)
