"""Train a model that no Auto class builds; the file belongs beside qa_trial.py."""

import torch
from qa_trial import QATrial
from transformers.modeling_outputs import QuestionAnsweringModelOutput


class TwoLayerHead(torch.nn.Module):
    """An encoder of transformers and a head with a hidden layer."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        size = encoder.config.hidden_size
        self.encoder = encoder
        self.head = torch.nn.Sequential(
            torch.nn.Linear(size, size), torch.nn.GELU(), torch.nn.Linear(size, 2)
        )

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        start_positions: torch.Tensor | None = None,
        end_positions: torch.Tensor | None = None,
    ) -> QuestionAnsweringModelOutput:
        optional = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        hidden = self.encoder(input_ids, attention_mask=attention_mask, **optional)[0]
        start_logits, end_logits = self.head(hidden).unbind(dim=-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = (
                torch.nn.functional.cross_entropy(start_logits, start_positions)
                + torch.nn.functional.cross_entropy(end_logits, end_positions)
            ) / 2
        return QuestionAnsweringModelOutput(
            loss=loss, start_logits=start_logits, end_logits=end_logits
        )


class OwnModelTrial(QATrial):
    # Those of QATrial do not include `base`.
    model_modes = ("base",)

    def build_model(self) -> torch.nn.Module:
        # YAML: model_mode: base, an encoder without a head.
        encoder = super().build_model()
        # Nothing uses the pooler; with several slots every trained weight needs a gradient.
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler.requires_grad_(False)
        return TwoLayerHead(encoder)
