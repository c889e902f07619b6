"""The command `predict`."""

import argparse
import pathlib

from model_hub.commands.arguments import Commands, add_checkpoint, add_command


def add_predict(commands: Commands) -> None:
    """Add ``predict``."""
    predict = add_command(
        commands,
        "predict",
        _run,
        summary="apply a trained model to the rows of a file",
        description="Apply a trained model to the rows of a file. The output has one row for each "
        "row of the input, in the same order. The input needs the columns of the training data, "
        "without labels. The model's class decides what is predicted.",
        examples=[
            "model-hub predict squad-model --input questions.jsonl --output answers.jsonl",
            "model-hub predict runs/squad-20260102-030405 --input questions.csv "
            "--output answers.csv",
        ],
    )
    add_checkpoint(predict, "MODEL", "an exported model, ", which=None)
    predict.add_argument(
        "--input",
        required=True,
        metavar="FILE",
        help="csv, json, jsonl, parquet, txt or arrow",
    )
    predict.add_argument(
        "--output",
        required=True,
        type=pathlib.Path,
        metavar="FILE",
        help="jsonl, csv or parquet, by its extension",
    )
    predict.add_argument(
        "--task",
        metavar="NAME",
        help="what to predict, such as text-generation, if the model's class does not decide it",
    )
    predict.add_argument(
        "--batch-size", type=int, default=16, metavar="N", help="rows in a batch (default: 16)"
    )
    predict.add_argument(
        "--device", metavar="NAME", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)"
    )
    predict.add_argument(
        "--max-new-tokens",
        type=int,
        metavar="N",
        help="maximum number of tokens to generate (default: the length in the training's section "
        "data, or 64)",
    )
    predict.add_argument(
        "--num-beams",
        type=int,
        metavar="N",
        help="number of beams for generation (default: that of the training)",
    )


def _run(options: argparse.Namespace) -> int:
    # Imported here, since importing torch and transformers takes seconds and --help needs neither.
    from model_hub.huggingface.inference.predict import predict
    from model_hub.huggingface.runner.log_setup import set_up_logging

    set_up_logging(verbose=options.verbose, rank=0)
    result = predict(
        options.checkpoint,
        options.input,
        options.output,
        task=options.task,
        which=options.which,
        master=options.master,
        batch_size=options.batch_size,
        device=options.device,
        max_new_tokens=options.max_new_tokens,
        num_beams=options.num_beams,
    )
    print(result.summary())
    return 0
