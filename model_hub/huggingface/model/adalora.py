"""AdaLoRA: ranks move from where they are of little use to where they are of more."""

from typing import Any

import torch
from determined import pytorch

_SCORES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


def callbacks_of(context: pytorch.PyTorchTrialContext) -> list["AdaLoraCallback"]:
    """Those of the trial's models; empty where none has an adapter of that kind."""
    found: list[AdaLoraCallback] = vars(context).setdefault("_model_hub_rank_allocations", [])
    return found


def watch_optimizer(context: pytorch.PyTorchTrialContext, model: Any) -> None:
    """Lets an adapter of this kind follow the optimizer that the trial wraps next.

    Args:
        context: the trial's context.
        model: not wrapped; one without an adapter of this kind is left alone.
    """
    kinds = {str(config.peft_type.value) for config in getattr(model, "peft_config", {}).values()}
    if "ADALORA" not in kinds:
        return
    allocation = AdaLoraCallback(model)
    callbacks_of(context).append(allocation)
    wrap_optimizer = context.wrap_optimizer

    def wrap_followed(optimizer: torch.optim.Optimizer, **kwargs: Any) -> torch.optim.Optimizer:
        allocation.watch(optimizer)
        return wrap_optimizer(optimizer, **kwargs)

    context.wrap_optimizer = wrap_followed  # type: ignore[assignment, method-assign]


class AdaLoraCallback(pytorch.PyTorchCallback):
    """Does after every update of the weights what the library peft leaves to the training loop.

    It lets peft weigh how much each rank is of use, and mask those of least use, as the fields
    ``tinit``, ``tfinal``, ``deltaT`` and ``total_step`` of AdaLoRA say; these count updates. Before
    an update it adds the gradient of the regularization of AdaLoRA, equation 4 of
    https://openreview.net/pdf?id=lq62uWRJjiY, which peft adds to a model's own loss only if
    ``task_type`` is given. Every slot finds the same, as the gradients are averaged by then.

    Args:
        adapted: the model with its adapter, not wrapped.
    """

    def __init__(self, adapted: Any) -> None:
        self._tuner = adapted.base_model
        self._config = adapted.active_peft_config
        self._updates = 0

    def watch(self, optimizer: torch.optim.Optimizer) -> None:
        """Follows the updates of an optimizer, if it has the adapter's weights."""
        own = {id(weight) for weight in self._tuner.parameters() if weight.requires_grad}
        if own.isdisjoint(id(each) for group in optimizer.param_groups for each in group["params"]):
            return
        if self._config.task_type is None:
            optimizer.register_step_pre_hook(lambda *_: self._regularize())
        optimizer.register_step_post_hook(lambda *_: self._allocate())

    def state_dict(self) -> dict[str, Any]:
        """What has been counted and weighed so far; peft keeps none of it in its weights."""
        allocator = self._tuner.rankallocator
        return {
            "updates": self._updates,
            "rank_pattern": self._config.rank_pattern,
            **{name: dict(getattr(allocator, name)) for name in _SCORES},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there."""
        self._updates = int(state_dict["updates"])
        self._config.rank_pattern = state_dict["rank_pattern"]
        places = {name: weight.device for name, weight in self._tuner.model.named_parameters()}
        for name in _SCORES:
            scores = {n: score.to(places[n]) for n, score in state_dict[name].items()}
            setattr(self._tuner.rankallocator, name, scores)

    def _allocate(self) -> None:
        self._updates += 1
        self._tuner.update_and_allocate(self._updates)

    def _regularize(self) -> None:
        weights = [
            (name, weight)
            for name, weight in self._tuner.model.named_parameters()
            if weight.grad is not None and ("lora_A" in name or "lora_B" in name)
        ]
        with torch.enable_grad():
            for name, weight in weights:
                one = weight.detach().float().requires_grad_()
                gram = one @ one.T if "lora_A" in name else one.T @ one
                distance = torch.linalg.matrix_norm(gram - torch.eye(len(gram), device=one.device))
                (gradient,) = torch.autograd.grad(distance, one)
                share = self._config.orth_reg_weight / len(weights)
                weight.grad.add_(gradient.to(weight.dtype), alpha=share)
