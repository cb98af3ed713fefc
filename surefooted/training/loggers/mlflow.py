"""Logger to MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from surefooted.components.component import component
from surefooted.components.spec import build
from surefooted.training.loggers.base import NamedLogger, flat, load_package, numbers

# MLflow refuses longer values of parameters.
_LONGEST = 500


class MLflowLogger(NamedLogger):
    """Opens a run of MLflow per training, with the arguments as parameters and the history as metrics.

    The run is FINISHED once the last epoch of the recipe is logged; without it, as after an error, it is FAILED.

    Args:
        experiment: name of the experiment.
        uri: address or folder of the tracking server; empty for MLflow's own setting.
    """

    def __init__(self, experiment: str, uri: str) -> None:
        self.experiment, self.uri = experiment, uri
        self.client: Any = None
        self.run = ""
        self.status, self.epochs = "FAILED", 0

    def start(self, key: str, arguments: Mapping[str, Any]) -> None:
        package = load_package("mlflow", "mlflow")
        self.run, self.status, self.epochs = "", "FAILED", build("recipe", arguments["recipe"]).epochs
        self.client = package.MlflowClient(tracking_uri=self.uri or None)
        found = self.client.get_experiment_by_name(self.experiment)
        experiment = found.experiment_id if found else self.client.create_experiment(self.experiment)
        self.run = self.client.create_run(experiment, run_name=key[:12], tags={"surefooted.key": key}).info.run_id
        for name, value in flat(arguments).items():
            # Of the names of parameters, MLflow takes letters, digits and a few signs.
            allowed = "".join(one if one.isalnum() or one in "_-./ " else "_" for one in name)
            self.client.log_param(self.run, allowed, str(value)[:_LONGEST])

    def log(self, entry: Mapping[str, Any]) -> None:
        for name, value in numbers(entry).items():
            self.client.log_metric(self.run, name, value, step=entry["epoch"])
        if entry["epoch"] == self.epochs:
            self.status = "FINISHED"

    def finish(self) -> None:
        if self.run:
            self.client.set_terminated(self.run, status=self.status)


@component
def mlflow(*, experiment: str = "surefooted", uri: str = "") -> MLflowLogger:
    """History as metrics of a run of MLflow, the arguments as its parameters. Needs the package mlflow.

    Args:
        experiment: name of the experiment, which is made if it does not exist.
        uri: tracking server, such as http://localhost:5000 or sqlite:///runs.db; by default MLflow's own setting.

    Example:
        >>> mlflow(experiment="digits").spec
        mlflow(experiment=digits, uri=)
    """
    return MLflowLogger(experiment, uri)
