"""The command `export`."""

import argparse
import pathlib

from model_hub.commands.arguments import Commands, add_checkpoint, add_command


def add_export(commands: Commands) -> None:
    """Add ``export``."""
    export = add_command(
        commands,
        "export",
        _run,
        summary="write a checkpoint's model as a folder for transformers",
        description="Write the model of a checkpoint as a folder that from_pretrained of "
        "transformers loads: weights (safetensors), configuration, tokenizer, and a model card. "
        "Needs neither the trial's code nor its data.",
        examples=[
            "model-hub export runs/squad-20260102-030405 squad-model",
            "model-hub export 8d45f621-8652-4268-8445-6ae9a735e453 squad-model \\",
            "  --master https://cluster:8080 --push-to-hub me/squad-model",
        ],
    )
    add_checkpoint(export, "CHECKPOINT", "", which="best")
    export.add_argument("folder", metavar="OUT", type=pathlib.Path, help="a new or empty folder")
    export.add_argument(
        "--merge",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="merge the weights of an adapter into the model; --no-merge writes the adapter alone, "
        "for the library peft (default: --merge)",
    )
    export.add_argument(
        "--base-model",
        metavar="NAME",
        help="name or folder of the model that an adapter belongs to, if it has moved since the "
        "training",
    )
    export.add_argument(
        "--run-trial-code",
        action="store_true",
        help="run the code in the checkpoint to build a model of a custom class; the code can do "
        "anything, so use this only with checkpoints that you trust",
    )
    export.add_argument(
        "--overwrite", action="store_true", help="replace an exported model that is in OUT"
    )
    export.add_argument(
        "--push-to-hub", metavar="OWNER/NAME", help="also upload it to the Hugging Face Hub"
    )
    export.add_argument(
        "--private", action="store_true", help="create the repository on the Hub as a private one"
    )


def _run(options: argparse.Namespace) -> int:
    # Imported here, since importing torch and transformers takes seconds and --help needs neither.
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
