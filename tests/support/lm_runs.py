"""Lines of text, tiny language models, and configurations that train them."""

import pathlib

import text_models
import tiny
from workspaces import ROOT, Config, Workspace

EXAMPLE = ROOT / "examples" / "huggingface" / "language-modeling"
WORDS = "the cat sat the dog ran where the dog sat the cat ran".split()
LINES = [" ".join(WORDS[n % 7 : n % 7 + 3 + n % 5]) for n in range(120)]
MODES = {"clm": "causal-lm", "mlm": "masked-lm", "plm": "causal-lm"}


def workspace_for(
    kind: str,
    root: pathlib.Path,
    model: pathlib.Path | str,
    train: list[str],
    validation: list[str],
) -> Workspace:
    root.mkdir()
    trial = f"{kind}_trial"
    (root / f"{trial}.py").write_bytes((EXAMPLE / f"{trial}.py").read_bytes())
    for name, lines in (("train", train), ("validation", validation)):
        (root / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config: Config = {
        "name": kind,
        "entrypoint": f"{trial}:{kind.upper()}Trial",
        "hyperparameters": {
            "model_mode": MODES[kind],
            "pretrained_model_name_or_path": str(model),
            "use_pretrained_weights": False,
            "global_batch_size": 8,
            "max_steps": 12,
            "learning_rate": 1e-2,
        },
        "data": {
            "train_file": str(root / "train.txt"),
            "validation_file": str(root / "validation.txt"),
            "max_seq_length": 16,
        },
        "searcher": {"name": "single", "metric": "perplexity", "smaller_is_better": True},
        "perform_initial_validation": True,
    }
    return Workspace(root, config)


def tiny_model(kind: str, folder: pathlib.Path) -> pathlib.Path:
    if kind == "mlm":
        return tiny.save(folder, "bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    if kind == "plm":
        return text_models.save_xlnet(folder, text_models.xlnet_tokenizer(LINES, 60), width=16)
    return text_models.save_gpt2(folder, text_models.byte_level_tokenizer(LINES, 270), width=16)
