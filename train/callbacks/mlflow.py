"""MLflow: numbers and settings of an arm, on the server or in the folder that MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from train.errors import TrainError

if TYPE_CHECKING:
    from train.tracking import Tracked

__all__ = ["Mlflow"]

# Left to itself it tells the path of the program and the user's name.
_QUIET = {"mlflow.source.name": "datakit", "mlflow.user": "datakit"}


class Mlflow:
    """A run; offline it is refused where a server is named."""

    def __init__(self, tracked: Tracked) -> None:
        try:
            mlflow = importlib.import_module("mlflow")
        except ImportError as error:
            raise TrainError("track: mlflow is not installed", hint="pip install mlflow") from error
        if tracked.offline and str(mlflow.get_tracking_uri()).startswith(("http", "databricks")):
            raise TrainError("track: mlflow would send to a server, and the network is off", hint="Name a folder")
        self._mlflow = mlflow
        mlflow.start_run(run_name=tracked.name, tags=dict(_QUIET))
        mlflow.log_params({name: str(value)[:250] for name, value in tracked.settings.items()})

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One point per curve."""
        self._mlflow.log_metrics(dict(values), step=step)

    def close(self) -> None:
        """Ends the run."""
        self._mlflow.end_run()
