"""In the old library's style: `super().__init__` is left out, model and all are built here, and
apex is turned on."""

import determined.pytorch as det_torch
import torch
import transformers

import model_hub.huggingface as hf
from model_hub.utils import AttrDict


class OwnModelTrial(hf.BaseTransformerTrial):
    def __init__(self, context):
        self.context = context
        self.hparams = AttrDict(context.get_hparams())
        self.data_config = AttrDict(context.get_data_config())
        self.exp_config = AttrDict(context.get_experiment_config())
        self.check_hparams()

        (
            self.config_kwargs,
            self.tokenizer_kwargs,
            self.model_kwargs,
        ) = hf.default_parse_config_tokenizer_model_kwargs(self.hparams)
        optimizer_kwargs, scheduler_kwargs = hf.default_parse_optimizer_lr_scheduler_kwargs(
            self.hparams
        )
        assert scheduler_kwargs.num_training_steps == 20
        path = self.config_kwargs.pretrained_model_name_or_path
        self.config = transformers.AutoConfig.from_pretrained(path)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(path)
        self.model = self.context.wrap_model(
            transformers.AutoModelForQuestionAnswering.from_config(self.config)
        )
        self.optimizer = self.context.wrap_optimizer(
            hf.build_default_optimizer(self.model, optimizer_kwargs)
        )
        if self.hparams.use_apex_amp:
            self.model, self.optimizer = self.context.configure_apex_amp(
                models=self.model, optimizers=self.optimizer
            )
        self.lr_scheduler = self.context.wrap_lr_scheduler(
            hf.build_default_lr_scheduler(self.optimizer, scheduler_kwargs),
            det_torch.LRScheduler.StepMode.STEP_EVERY_BATCH,
        )
        self.grad_clip_fn = lambda x: torch.nn.utils.clip_grad_norm_(
            x, optimizer_kwargs.max_grad_norm
        )
        texts = hf.default_load_dataset(self.data_config)["train"]["context"]
        encoded = self.tokenizer(list(texts), padding=True, return_tensors="pt")
        first = torch.ones(len(texts), dtype=torch.long)
        columns = {**encoded, "start_positions": first, "end_positions": first + 2}
        self.data = [
            {name: column[row] for name, column in columns.items()} for row in range(len(texts))
        ]

    def build_training_data_loader(self):
        return det_torch.DataLoader(
            self.data, batch_size=self.context.get_per_slot_batch_size(), shuffle=True
        )

    def build_validation_data_loader(self):
        return det_torch.DataLoader(self.data, batch_size=self.context.get_per_slot_batch_size())

    def evaluate_batch(self, batch):
        return {"loss": self.model(**batch).loss}
