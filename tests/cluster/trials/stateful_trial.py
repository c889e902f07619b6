"""A trial with state in unusual places: statistics of a BatchNorm, a schedule stepped by hand, a
sampler that draws while it is asked, and a model whose weights are all below `module`."""

import torch
from determined import pytorch

import model_hub.huggingface as hf


class Wrapped(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.module = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.2)
        )
        self.module.append(torch.nn.Linear(8, 1))

    def forward(self, x):
        return self.module(x)


class LazySampler(torch.utils.data.Sampler):
    """Draws a row whenever it is asked for one, from the global generator."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return self.rows

    def __iter__(self):
        for _ in range(self.rows):
            yield int(torch.randint(self.rows, ()))


class StatefulTrial(hf.BaseTransformerTrial):
    def __init__(self, context):
        self.context = context
        self.check_hparams()
        self.model = context.wrap_model(Wrapped())
        self.optimizer = context.wrap_optimizer(torch.optim.Adam(self.model.parameters(), 0.01))
        self.schedule = context.wrap_lr_scheduler(
            torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.9),
            pytorch.LRScheduler.StepMode.MANUAL_STEP,
        )
        x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
        self.data = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))

    def loader(self, **how):
        size = self.context.get_per_slot_batch_size()
        return pytorch.DataLoader(self.data, batch_size=size, **how)

    def build_training_data_loader(self):
        return self.loader(sampler=LazySampler(len(self.data)))

    def build_validation_data_loader(self):
        return self.loader()

    def loss(self, batch):
        return torch.nn.functional.mse_loss(self.model(batch[0]), batch[1])

    def train_batch(self, batch, epoch_idx, batch_idx):
        loss = self.loss(batch)
        self.context.backward(loss)
        self.context.step_optimizer(self.optimizer)
        self.schedule.step()
        return {"loss": loss, "first": batch[0][0, 0]}

    def evaluate_batch(self, batch):
        return {"validation_loss": self.loss(batch)}
