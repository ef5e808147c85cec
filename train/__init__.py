"""Training harness: one loop, pluggable objectives, adapters and backends, checked before the first step."""

from train.config import Arm, Every
from train.errors import Diverged, OutOfMemory, TrainError
from train.estimating import Estimate, estimate
from train.events import Checked, Event, Finished, Preflight, Progress, Started, StepDone, Validated
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
    "Kl",
    "OutOfMemory",
    "Preflight",
    "Prepared",
    "Probe",
    "Progress",
    "Replay",
    "Started",
    "StepDone",
    "TokenMask",
    "TrainError",
    "TrainResult",
    "Validated",
    "can_merge",
    "check_merged",
    "estimate",
    "fit",
    "interpolate_weights",
    "marked",
    "merge_adapter",
    "merge_measured",
    "prepare",
]
