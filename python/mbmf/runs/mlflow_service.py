"""MLflow, which the environment sets up: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and others."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow import MlflowClient
from mlflow.entities import Metric

from mbmf.runs.services import About

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class MlflowService:
    """A run of MLflow (`mbmf.runs.services.Service`)."""

    def open(self, about: About, known: str | None) -> tuple[str, str]:
        # its own 7 take minutes where no server answers, and the run waits
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if uri is None:
            # mlflow-skinny lacks the database of MLflow's own default, and files are to be allowed
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            uri = str(Path("mlruns").absolute())
        self._client = MlflowClient(uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "mbmf")
        if known is None:
            found = self._client.get_experiment_by_name(name)
            experiment = self._client.create_experiment(name) if found is None else found.experiment_id
            self._run = self._client.create_run(experiment, run_name=about.name).info.run_id
            for key in ("algorithm", "seed"):
                self._client.log_param(self._run, key, about.config[key])
            self._client.log_param(self._run, "task", about.config["task"]["name"])
            self._client.log_artifact(self._run, str(about.file))
        else:
            self._run = known
            self._client.update_run(known, status="RUNNING")
        return self._run, f"run {self._run} of {name} at {self._client.tracking_uri}"

    def add_numbers(self, numbers: Mapping[str, float], iteration: int) -> None:
        now = int(time.time() * 1000)
        self._client.log_batch(
            self._run, [Metric(key, value, now, iteration) for key, value in numbers.items()]
        )

    def add_figures(self, figures: Mapping[str, Figure], iteration: int) -> None:
        for name, figure in figures.items():
            self._client.log_figure(self._run, figure, f"figures/{name}.png")

    def close(self, finished: bool) -> None:
        self._client.set_terminated(self._run, status="FINISHED" if finished else "KILLED")
