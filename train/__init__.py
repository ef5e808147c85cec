"""Training harness: one loop, pluggable objectives, adapters and backends, checked before the first step."""

from train.config import Arm, Every, Watching
from train.errors import Diverged, OutOfMemory, TrainError
from train.estimating import Estimate, estimate
from train.events import (
    Checked,
    Event,
    Finished,
    Flat,
    Packing,
    Preflight,
    Progress,
    Resumed,
    Started,
    StepDone,
    Stopped,
    Validated,
    Watched,
    step_course,
)
from train.fitting import TrainResult, fit
from train.interpolate import interpolate_weights
from train.loop import Probe
from train.merge import can_merge, check_merged, merge_adapter, merge_measured
from train.preflight import marked
from train.prepare import Prepared, prepare
from train.retention.settings import L2, Kl, Replay, TokenMask

__all__ = [
    "L2",
    "Arm",
    "Checked",
    "Diverged",
    "Estimate",
    "Event",
    "Every",
    "Finished",
    "Flat",
    "Kl",
    "OutOfMemory",
    "Packing",
    "Preflight",
    "Prepared",
    "Probe",
    "Progress",
    "Replay",
    "Resumed",
    "Started",
    "StepDone",
    "Stopped",
    "TokenMask",
    "TrainError",
    "TrainResult",
    "Validated",
    "Watched",
    "Watching",
    "can_merge",
    "check_merged",
    "estimate",
    "fit",
    "interpolate_weights",
    "marked",
    "merge_adapter",
    "merge_measured",
    "prepare",
    "step_course",
]
