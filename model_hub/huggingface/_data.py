"""Loading datasets, preparing them with a cache that hits, pruning columns, and loaders."""

import contextlib
import functools
import gc
import inspect
import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import datasets
import pyarrow as pa
import torch
import transformers
from datasets.fingerprint import Hasher
from determined import pytorch
from determined.pytorch import samplers

import model_hub
from model_hub.errors import UserError
from model_hub.huggingface import _arrow, _files, _fingerprint, _named_data, _samples, _sampling
from model_hub.huggingface._config import DatasetKwargs, parse_dict_to_dataclasses
from model_hub.huggingface._options import OptionKwargs

logger = logging.getLogger("model_hub")


def default_load_dataset(data_config: Mapping[str, Any]) -> datasets.DatasetDict:
    """Loads the data that section ``data`` of the YAML names.

    Either ``dataset_name`` (a name on the Hugging Face Hub with ``dataset_config_name`` and
    ``dataset_revision``, or a folder written by ``save_to_disk``), or ``train_file`` and
    ``validation_file`` (csv, json, jsonl, parquet, txt, arrow), which beside a ``dataset_name``
    becomes the split ``validation`` of that. Where there is no validation data,
    the first ``validation_split_percentage`` per cent of the training rows become it and are
    trained on no more. ``max_train_samples`` and ``max_eval_samples`` leave the first rows of
    what is then there.

    Args:
        data_config: section ``data``; keys other than those of ``DatasetKwargs`` are ignored.

    Returns:
        The splits, ``train`` and ``validation`` among them; or, for a data set that has several
        (MNLI: ``validation_matched`` and ``validation_mismatched``) and no percentage, all that it
        has.

    Raises:
        UserError: when nothing is named, a file is missing or broken, or there is no validation
            data and no percentage.
    """
    (kwargs,) = parse_dict_to_dataclasses((DatasetKwargs,), data_config)
    check_sources(kwargs)
    if kwargs.dataset_name:
        splits = _named_data.load_named(kwargs)
    else:
        splits = datasets.DatasetDict(
            {"train": _files.load_file("data.train_file", str(kwargs.train_file))}
        )
    if kwargs.validation_file:
        splits["validation"] = _files.load_file("data.validation_file", kwargs.validation_file)
    others = any(name.startswith("validation_") for name in splits)
    percentage = kwargs.validation_split_percentage
    if "validation" not in splits and (percentage is not None or not others):
        splits["train"], splits["validation"] = _split(splits["train"], percentage)
    return _samples.first_rows(splits, kwargs)


def check_sources(kwargs: DatasetKwargs) -> None:
    """Checks that the settings name training data, and validation data as far as they can tell.

    Args:
        kwargs: section ``data``.

    Raises:
        UserError: when they do not, or name two.
    """
    if kwargs.dataset_name and kwargs.train_file:
        raise UserError(
            "data.dataset_name and data.train_file are both set; remove one of them (an old file "
            "may say dataset_name: null)."
        )
    if not kwargs.dataset_name and not kwargs.train_file:
        raise UserError(
            "section data names no data: write data.dataset_name (a data set on the Hugging Face "
            "Hub or a folder) or data.train_file (and data.validation_file)."
        )
    if kwargs.train_file and not kwargs.validation_file:
        _check_percentage(kwargs.validation_split_percentage)


def check_splits(raw_datasets: Mapping[str, datasets.Dataset]) -> None:
    """Checks that there is a split ``validation``, before it is looked for.

    Args:
        raw_datasets: what :func:`default_load_dataset` has loaded.

    Raises:
        UserError: when there is none, but others of a name like that.
    """
    if "validation" not in raw_datasets:
        raise UserError(
            f"data.dataset_name: there is no split 'validation', only {sorted(raw_datasets)}. "
            "Write data.validation_file, or data.validation_split_percentage (per cent of the "
            "training data to take for it)."
        )


def _check_percentage(percentage: float | None) -> None:
    if percentage is None:
        raise UserError(
            "there is no validation data: write data.validation_file, or "
            "data.validation_split_percentage (per cent of the training data to take for it)."
        )
    if not 0 < percentage < 100:
        raise UserError(
            f"data.validation_split_percentage is {percentage}, but should be between 0 and 100."
        )


def _split(
    train: datasets.Dataset, percentage: float | None
) -> tuple[datasets.Dataset, datasets.Dataset]:
    """The rest and the first rows of ``train``: two datasets without a row in common."""
    _check_percentage(percentage)
    assert percentage is not None
    count = math.ceil(len(train) * percentage / 100)
    if count >= len(train):
        raise UserError(
            f"data.validation_split_percentage: {percentage} % of {len(train)} rows leaves nothing "
            "to train on; write less, or data.validation_file."
        )
    return train.select(range(count, len(train))), train.select(range(count))


def remove_unused_columns(
    model: torch.nn.Module, dataset: datasets.Dataset, keep: Collection[str] = ()
) -> None:
    """Hides, in place, the columns that ``model.forward`` does not take.

    Args:
        model: the model, wrapped or not.
        dataset: its format is changed; no data is removed.
        keep: columns to keep as well, next to ``label`` and ``label_ids``.

    Raises:
        UserError: when no column is left.
    """
    wanted = {*_forward_parameters(model), "label", "label_ids", *keep}
    columns = [name for name in dataset.column_names if name in wanted]
    if not columns:
        raise UserError(
            f"none of the columns {dataset.column_names} is an argument of the model "
            f"({type(model).__name__}), which takes {sorted(_forward_parameters(model))}."
        )
    dataset.set_format(type=dataset.format["type"], columns=columns)


def _forward_parameters(model: torch.nn.Module) -> list[str]:
    """The names that the model takes, also through wrappers that take anything and pass it on."""
    inner: Any = model
    if isinstance(inner, torch.nn.parallel.DistributedDataParallel):
        inner = inner.module
    inner = getattr(inner, "_orig_mod", inner)  # torch.compile
    if hasattr(inner, "get_base_model"):  # peft
        inner = inner.get_base_model()
    names = _named(inner.forward)
    # Determined's wrapper for mixed precision is of a class derived from the model's.
    for cls in type(inner).__mro__:
        names = names or (_named(vars(cls)["forward"])[1:] if "forward" in vars(cls) else [])
    return names


def _named(function: Callable[..., Any]) -> list[str]:
    anything = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind not in anything]


def prepare_dataset(
    dataset: datasets.Dataset,
    function: Callable[..., dict[str, list[Any]]],
    *,
    tokenizer: transformers.PreTrainedTokenizerBase,
    num_proc: int | None = None,
    overwrite_cache: bool = False,
    description: str | None = None,
    **function_kwargs: Any,
) -> datasets.Dataset:
    """Maps a task's pure preparation function over a dataset; a second run reads the cache.

    Args:
        dataset: raw rows; all their columns are replaced.
        function: takes a batch of rows, ``tokenizer=`` and ``function_kwargs``; returns columns.
        tokenizer: the tokenizer.
        num_proc: processes to share the work.
        overwrite_cache: prepare again although the cache has it.
        description: shown beside the progress bar.
        function_kwargs: further settings of ``function``.

    Returns:
        The prepared dataset. Its cache is found by the raw data, the source of the function's
        module and of its neighbours that it imports, the settings, and the tokenizer's vocabulary
        and rules.
    """
    fingerprint = Hasher.hash(
        (
            dataset._fingerprint,
            function.__qualname__,
            _fingerprint.sources(function),
            sorted(function_kwargs.items()),
            _fingerprint.tokenizer_state(tokenizer),
            (model_hub.__version__, transformers.__version__),
        )
    )
    prepare = functools.partial(function, tokenizer=tokenizer, **function_kwargs)
    if overwrite_cache:
        _fingerprint.forget_other_parts(dataset, fingerprint, num_proc)
    return dataset.map(
        functools.partial(_prepare_batch, prepare),
        batched=True,
        remove_columns=dataset.column_names,
        num_proc=num_proc,
        load_from_cache_file=not overwrite_cache,
        new_fingerprint=fingerprint,
        desc=description,
    )


def _prepare_batch(
    prepare: Callable[..., Mapping[str, Any]], rows: Mapping[str, Any]
) -> pa.Table | Mapping[str, Any]:
    # Asked before, since a function may take columns out of the rows.
    names = list(rows)
    # Thousands of lists appear at once; looking whether some of them are garbage costs time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _arrow.as_table(prepare(rows), names)
    finally:
        if collecting:
            gc.enable()


@contextlib.contextmanager
def local_main_first(context: pytorch.PyTorchTrialContext) -> Iterator[None]:
    """Lets one process of each machine through first, the others when it is done.

    For work that fills a cache: the first does it, the others read it. They wait without a
    time-out, however long it takes.
    """
    distributed = context.distributed
    first = distributed.local_rank == 0
    if not first:
        distributed.broadcast_local(None)
    try:
        yield
    finally:
        # Also after an error: the others then run into it themselves instead of waiting for ever.
        if first:
            distributed.broadcast_local(None)


def trial_seed(context: pytorch.PyTorchTrialContext) -> int:
    """The trial's seed; the experiment's, or 0, where Determined gives the trial none."""
    seed = getattr(context, "_trial_seed", None)
    if seed is None:
        try:
            config = context.get_experiment_config()
        except ValueError:
            config = {}
        seed = (config.get("reproducibility") or {}).get("experiment_seed")
    return int(seed or 0)


def training_data_loader(
    context: pytorch.PyTorchTrialContext,
    dataset: datasets.Dataset,
    collate_fn: Callable[[list[Any]], Any],
    *,
    num_workers: int | None = None,
    drop_last: bool = False,
) -> pytorch.DataLoader:
    """A loader that shuffles anew every epoch.

    The order follows from the trial's seed alone: it is the same on every slot (each takes its
    share of it) and after a pause. With ``hyperparameters.group_by_length`` samples of similar
    length share a batch.

    Args:
        context: gives the batch size per slot, the seed and the hyperparameters.
        dataset: prepared training data.
        collate_fn: makes a batch of a list of rows.
        num_workers: processes that load ahead; None takes
            ``hyperparameters.dataloader_num_workers``.
        drop_last: leave out the last batch of an epoch if it is not full.

    Raises:
        UserError: when there is nothing to train on.
    """
    if len(dataset) == 0:
        raise UserError("there is no training data left after preparation.")
    (options,) = parse_dict_to_dataclasses((OptionKwargs,), context.get_hparams())
    order: torch.utils.data.Sampler[int]
    if options.group_by_length:
        order = _sampling.LengthGroupedSampler(
            _sampling.lengths_of(dataset), context.get_global_batch_size(), trial_seed(context)
        )
    else:
        order = samplers.ReproducibleShuffleSampler(
            torch.utils.data.SequentialSampler(dataset), trial_seed(context)
        )
    return pytorch.DataLoader(
        dataset,
        batch_size=context.get_per_slot_batch_size(),
        sampler=order,
        collate_fn=collate_fn,
        num_workers=options.dataloader_num_workers if num_workers is None else num_workers,
        drop_last=drop_last,
        pin_memory=options.dataloader_pin_memory and torch.cuda.is_available(),
    )


def validation_data_loader(
    context: pytorch.PyTorchTrialContext,
    dataset: datasets.Dataset,
    collate_fn: Callable[[list[Any]], Any],
    *,
    num_workers: int = 0,
) -> pytorch.DataLoader:
    """A loader that goes through the data once in its order; arguments as for training.

    Raises:
        UserError: when there is nothing to validate on.
    """
    if len(dataset) == 0:
        raise UserError("there is no validation data left after preparation.")
    (options,) = parse_dict_to_dataclasses((OptionKwargs,), context.get_hparams())
    return pytorch.DataLoader(
        dataset,
        batch_size=context.get_per_slot_batch_size(),
        collate_fn=collate_fn,
        num_workers=num_workers,
        pin_memory=options.dataloader_pin_memory and torch.cuda.is_available(),
    )
