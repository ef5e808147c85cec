"""Training harness: one loop, pluggable objectives, adapters and backends, checked before the first step."""

from train.config import Arm, Every, Replay
from train.errors import Diverged, OutOfMemory, TrainError
from train.events import Checked, Event, Finished, Preflight, Progress, Started, StepDone, Validated
from train.fitting import TrainResult, fit
from train.loop import Probe
from train.merge import can_merge, check_merged, merge_adapter, merge_measured
from train.preflight import marked
from train.prepare import Prepared, prepare

__all__ = [
    "Arm",
    "Checked",
    "Diverged",
    "Event",
    "Every",
    "Finished",
    "OutOfMemory",
    "Preflight",
    "Prepared",
    "Probe",
    "Progress",
    "Replay",
    "Started",
    "StepDone",
    "TrainError",
    "TrainResult",
    "Validated",
    "can_merge",
    "check_merged",
    "fit",
    "marked",
    "merge_adapter",
    "merge_measured",
    "prepare",
]
