"""Loggers: where the history of a training goes while it runs, besides its artifact."""

from surefooted.training.loggers.base import Logger as Logger
from surefooted.training.loggers.files import csv, jsonl
from surefooted.training.loggers.mlflow import mlflow
from surefooted.training.loggers.tensorboard import tensorboard
from surefooted.training.loggers.wandb import wandb

__all__ = ["csv", "jsonl", "mlflow", "tensorboard", "wandb"]
