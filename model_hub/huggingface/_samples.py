"""How many rows a trial trains and validates on: ``max_train_samples``, ``max_eval_samples``."""

from collections.abc import Mapping, MutableMapping
from typing import Any

import datasets
from determined import pytorch

from model_hub.errors import UserError
from model_hub.huggingface._config import DatasetKwargs, OptionKwargs, parse_dict_to_dataclasses

LIMITS = ("max_train_samples", "max_eval_samples")


def contradictions(hparams: Mapping[str, Any], data_config: Mapping[str, Any]) -> list[str]:
    """Where the two sections of the YAML name different numbers of rows: one message each.

    Args:
        hparams: section ``hyperparameters``; a range is held against nothing.
        data_config: section ``data``.
    """
    return [
        f"hyperparameters.{name} is {hparams[name]}, but data.{name} is {data_config[name]}; they "
        "mean the same. Remove one of them."
        for name in LIMITS
        if hparams.get(name) is not None
        and data_config.get(name) is not None
        and not isinstance(hparams[name], Mapping)
        and hparams[name] != data_config[name]
    ]


def pass_on(hparams: Mapping[str, Any], data_config: MutableMapping[str, Any]) -> None:
    """Writes the hyperparameters' numbers of rows into section ``data``, of which data is loaded.

    Args:
        hparams: section ``hyperparameters`` of a trial, with values.
        data_config: section ``data``; changed in place.

    Raises:
        UserError: when a value is no number of rows, or the sections contradict each other.
    """
    given = {name: hparams[name] for name in LIMITS if hparams.get(name) is not None}
    (options,) = parse_dict_to_dataclasses((OptionKwargs,), given)
    problems = contradictions(hparams, data_config)
    if problems:
        raise UserError(" ".join(problems))
    data_config.update({name: getattr(options, name) for name in given})


def pass_on_in(context: pytorch.PyTorchTrialContext) -> None:
    """The same in the configuration that the context hands out.

    Args:
        context: gets a section ``data`` of its own, if there is something to write into it.
    """
    # None, if the trial has its own.
    hparams = context._hparams or {}
    if all(hparams.get(name) is None for name in LIMITS):
        return
    config = context.get_experiment_config()
    data_config = dict(config.get("data") or {})
    pass_on(hparams, data_config)
    config["data"] = data_config


def first_rows(splits: datasets.DatasetDict, kwargs: DatasetKwargs) -> datasets.DatasetDict:
    """The splits with no more rows than ``data`` says: the first ones, for each validation split.

    Args:
        splits: raw rows, ``train`` among them; other splits than those of training and validation
            stay as they are.
        kwargs: section ``data``.
    """

    def limit_of(name: str) -> int | None:
        if name == "train":
            return kwargs.max_train_samples
        return kwargs.max_eval_samples if name.startswith("validation") else None

    cut = datasets.DatasetDict()
    for name, rows in splits.items():
        limit = limit_of(name)
        cut[name] = rows if limit is None or limit >= len(rows) else rows.select(range(limit))
    return cut
