"""The commands about trained models, `export` and `predict`: arguments and printing."""

import argparse
import pathlib
from typing import TypeAlias

from model_hub import _terminal

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_export(commands: Commands) -> None:
    """Adds ``export``."""
    export = commands.add_parser(
        "export",
        help="write a checkpoint's model as transformers reads it",
        description="Write the model of a checkpoint as from_pretrained of transformers reads it: "
        "weights (safetensors), configuration, tokenizer, and a model card. Neither the trial's "
        "code nor its data is needed.",
        epilog=_terminal.format_examples(
            "model-hub export runs/squad-20260102-030405 squad-model",
            "model-hub export 8d45f621-8652-4268-8445-6ae9a735e453 squad-model \\",
            "  --master https://cluster:8080 --push-to-hub me/squad-model",
        ),
        formatter_class=_terminal.HelpFormatter,
    )
    export.set_defaults(run=_run_export)
    _name_checkpoint(export, "CHECKPOINT")
    export.add_argument("folder", metavar="OUT", type=pathlib.Path, help="a new or empty folder")
    export.add_argument(
        "--merge",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="add the weights of an adapter to those of the model; --no-merge writes the adapter "
        "alone, as the library peft reads it (default: --merge)",
    )
    export.add_argument(
        "--base-model",
        metavar="NAME",
        help="name or folder of the weights that an adapter was put on, if they are no longer "
        "where they were at the training",
    )
    export.add_argument(
        "--run-trial-code",
        action="store_true",
        help="let the code in the checkpoint build the model, for models of one's own classes; it "
        "can do anything, so do this only with checkpoints that you trust",
    )
    export.add_argument(
        "--overwrite", action="store_true", help="replace an exported model that is in OUT"
    )
    export.add_argument(
        "--push-to-hub", metavar="OWNER/NAME", help="then upload it to the Hugging Face Hub"
    )
    export.add_argument(
        "--private", action="store_true", help="make the repository on the Hub a private one"
    )


def add_predict(commands: Commands) -> None:
    """Adds ``predict``."""
    predict = commands.add_parser(
        "predict",
        help="answer the rows of a file with a trained model",
        description="Answer the rows of a file with a trained model, one row of output for each "
        "row of input, in the same order. The columns are those of the training data, labels are "
        "not needed. What is computed follows from the model's class.",
        epilog=_terminal.format_examples(
            "model-hub predict squad-model --input questions.jsonl --output answers.jsonl",
            "model-hub predict runs/squad-20260102-030405 --input questions.csv "
            "--output answers.csv",
        ),
        formatter_class=_terminal.HelpFormatter,
    )
    predict.set_defaults(run=_run_predict)
    _name_checkpoint(predict, "MODEL", "an exported model, ")
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
        "--task", metavar="NAME", help="for a model whose class does not tell (text-generation ...)"
    )
    predict.add_argument(
        "--batch-size", type=int, default=16, metavar="N", help="rows at a time (default: 16)"
    )
    predict.add_argument(
        "--device", metavar="NAME", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)"
    )
    predict.add_argument(
        "--max-new-tokens",
        type=int,
        metavar="N",
        help="most tokens to generate (default: 64, or what the training's data section says)",
    )
    predict.add_argument(
        "--num-beams",
        type=int,
        metavar="N",
        help="beams of the search for generated text (default: those of the training)",
    )


def _name_checkpoint(command: argparse.ArgumentParser, metavar: str, further: str = "") -> None:
    command.add_argument(
        "checkpoint",
        metavar=metavar,
        help=f"{further}the folder of a run, the folder of a checkpoint, or the UUID of a "
        "checkpoint on a cluster",
    )
    command.add_argument(
        "--which",
        choices=("best", "latest"),
        default=None if further else "best",
        help="of a run, the checkpoint with the best searcher.metric, or the latest one "
        + (
            "(default: the final model in model/, or else the best)"
            if further
            else "(default: best)"
        ),
    )
    command.add_argument(
        "--master",
        metavar="URL",
        help="address of the cluster's master (default: the environment variable DET_MASTER)",
    )
    command.add_argument(
        "--verbose", action="store_true", help="show what happens inside, and tracebacks"
    )


def _run_export(options: argparse.Namespace) -> int:
    # Put off: importing torch and transformers takes seconds, which --help need not wait for.
    from model_hub.huggingface.export.export import export_model
    from model_hub.huggingface.export.hub import check_repository, push
    from model_hub.huggingface.runner.log_setup import set_up_logging

    set_up_logging(verbose=options.verbose, rank=0)
    if options.push_to_hub:
        check_repository(options.push_to_hub)
    exported = export_model(
        options.checkpoint,
        options.folder,
        which=options.which,
        master=options.master,
        merge=options.merge,
        overwrite=options.overwrite,
        base_model=options.base_model,
        run_trial_code=options.run_trial_code,
    )
    print(exported.summary(options.folder))
    if options.push_to_hub:
        address = push(exported.folder, options.push_to_hub, private=options.private)
        print(f"uploaded: {address}")
    return 0


def _run_predict(options: argparse.Namespace) -> int:
    # Put off: importing torch and transformers takes seconds, which --help need not wait for.
    from model_hub.huggingface.inference.predict import PredictSettings, predict
    from model_hub.huggingface.runner.log_setup import set_up_logging

    set_up_logging(verbose=options.verbose, rank=0)
    result = predict(
        options.checkpoint,
        options.input,
        options.output,
        task=options.task,
        which=options.which,
        master=options.master,
        settings=PredictSettings(
            batch_size=options.batch_size,
            device=options.device,
            max_new_tokens=options.max_new_tokens,
            num_beams=options.num_beams,
        ),
    )
    print(result.summary())
    return 0
