"""Conversations of very different lengths, and what instruction tuning on them starts from."""

import pathlib
import random
from typing import Any

import text_models
import torch
import transformers
from task_runs import write_rows
from workspaces import ROOT, Config, Workspace

EXAMPLE = ROOT / "examples" / "huggingface" / "instruction-tuning"
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
COLOURS = {"sky": "blue", "grass": "green", "snow": "white", "coal": "black", "blood": "red"}


def talks(count: int, seed: int) -> list[dict[str, Any]]:
    """Questions in many wordings, answers of very different lengths, one to four in a talk."""
    choose = random.Random(seed)
    rows = []
    for _ in range(count):
        messages = []
        for _ in range(choose.randint(1, 4)):
            thing = choose.choice(list(COLOURS))
            politely = choose.choice(["", "Please tell me: ", "I wonder, "])
            times = choose.choice([1, 1, 1, 6])
            messages += [
                {"role": "user", "content": f"{politely}what colour is {thing}? Say it {times}x"},
                {"role": "assistant", "content": " ".join([COLOURS[thing]] * times)},
            ]
        rows.append({"messages": messages})
    return rows


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    texts = [m["content"] for row in talks(60, 0) for m in row["messages"]]
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    made = text_models.byte_level_tokenizer(texts, 330, special)
    made.chat_template = TEMPLATE
    return made


def make_workspace(folder: pathlib.Path) -> Workspace:
    """A model that is not trained, and a configuration of three updates, all with the same step."""
    root = folder / "context"
    root.mkdir(parents=True)
    (root / "sft_trial.py").write_bytes((EXAMPLE / "sft_trial.py").read_bytes())
    model = text_models.save_gpt2(
        folder / "model", tokenizer(), width=48, layers=2, positions=192, initializer_range=0.1
    )
    config = transformers.AutoConfig.from_pretrained(model)
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(model)
    settings: Config = {
        "name": "sft",
        "entrypoint": "sft_trial:SFTTrial",
        "hyperparameters": {
            "model_mode": "causal-lm",
            "pretrained_model_name_or_path": str(model),
            "use_pretrained_weights": True,
            "global_batch_size": 8,
            "max_steps": 3,
            "learning_rate": 0.05,
            "optim": "sgd",
            "lr_scheduler_type": "constant",
            # Clipped gradients would have the same size, however they were weighted.
            "max_grad_norm": 0,
        },
        "data": {
            "train_file": write_rows(root / "train.jsonl", talks(64, 1)),
            "validation_file": write_rows(root / "validation.jsonl", talks(24, 2)),
            "max_seq_length": 160,
        },
        "searcher": {"name": "single", "metric": "perplexity", "smaller_is_better": True},
        "scheduling_unit": 1,
    }
    return Workspace(root, settings)
