"""Training harness: one loop, pluggable objectives, adapters and backends, checked before the first step."""

from train.config import Arm, Every, Replay
from train.errors import Diverged, OutOfMemory, TrainError
from train.events import Event, Finished, Preflight, Progress, Resumed, Started, StepDone, Stopped, Validated
from train.fitting import TrainResult, fit
from train.loop import Probe
from train.merge import merge_adapter
from train.preflight import marked
from train.prepare import Prepared, prepare

__all__ = [
    "Arm",
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
    "Resumed",
    "Started",
    "StepDone",
    "Stopped",
    "TrainError",
    "TrainResult",
    "Validated",
    "fit",
    "marked",
    "merge_adapter",
    "prepare",
]
