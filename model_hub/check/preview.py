"""The first rows of the training data as the model sees them, learned tokens marked."""

import itertools
import pathlib
from collections.abc import Iterator

import datasets
import transformers

from model_hub.errors import UserError
from model_hub.experiment.config import fill_defaults
from model_hub.experiment.entrypoint import trial_spec
from model_hub.experiment.search_space import pick_hyperparameters
from model_hub.experiment.trial_class import import_trial, working_directory
from model_hub.experiment.yaml_io import parse_yaml
from model_hub.huggingface.config import parsing
from model_hub.huggingface.tasks import TASKS
from model_hub.huggingface.tasks._common.preview import preview_features
from model_hub.utils import AttrDict


def preview_rows(text: str, folder: pathlib.Path, count: int) -> Iterator[str]:
    """Yield the first rows of the training data, prepared as for training.

    Args:
        text: the YAML.
        folder: the context directory, to which paths are relative.
        count: number of rows as prepared; of as many raw rows.

    Raises:
        UserError: when the task's labels are not tokens of the text, or data, model or tokenizer
            cannot be read.
    """
    if count < 1:
        raise UserError(f"--preview is {count}, but should be at least 1.")
    config = fill_defaults(parse_yaml(text, "the YAML"))
    trial_class = import_trial(trial_spec(config.get("entrypoint")), folder)
    settings = getattr(trial_class, "data_types", (object,))[-1]
    build = next((task.build_datasets for task in TASKS if settings in task.data_kwargs), None)
    if build is None:
        raise UserError(
            f"--preview shows texts of which tokens are learned, but {trial_class.__name__} does "
            "not train on such."
        )
    hparams, _ = pick_hyperparameters(config.get("hyperparameters") or {}, 0)
    data = config.get("data") or {}
    (data_kwargs,) = parsing.parse_dict_to_dataclasses((settings,), data)
    config_kwargs, tokenizer_kwargs, _ = parsing.default_parse_config_tokenizer_model_kwargs(
        hparams
    )
    datasets.disable_progress_bars()
    with working_directory(folder):
        try:
            model_config = transformers.AutoConfig.from_pretrained(**config_kwargs)
            tokenizer = transformers.AutoTokenizer.from_pretrained(**tokenizer_kwargs)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"--preview needs the model's tokenizer: {reason}") from error
        load_data = trial_class.load_data  # type: ignore[attr-defined]
        rows = load_data(AttrDict(hparams), AttrDict(data))["train"]
        rows = rows.select(range(min(count, len(rows))))
        raw = {"train": rows, "validation": rows}
        train = build(raw, tokenizer, data_kwargs, model_config).train
    yield from itertools.islice(preview_features(train, tokenizer), count)
