"""An XLNet with the weights of a trained BERT: there is no small trained XLNet without a network.

Both are encoders of layers that normalise after each of their two blocks, and the blocks' matrices
are the same. What XLNet has no place for is moved to where it has the same effect; so its hidden
states are, to rounding, those of the BERT with the same position at every token. Where tokens
stand, XLNet has to learn: it adds no positions to the embeddings, but compares distances in its
attention, by weights that begin as zeros here.
"""

import pathlib

import torch
import transformers
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.xlnet.modeling_xlnet import XLNetLayer


def save(
    source: str | pathlib.Path,
    folder: pathlib.Path,
    *,
    layers: int | None = None,
    positions: int = 192,
) -> pathlib.Path:
    """Writes an ``XLNetForQuestionAnswering`` with a BERT's weights, and the BERT's tokenizer.

    The beam-search head is new; it is drawn from torch's random generator. There is no dropout.

    Args:
        source: the BERT's folder.
        folder: where to.
        layers: how many of the BERT's layers, from the first on; None is all.
        positions: every token gets the mean of this many position embeddings.
    """
    bert = transformers.BertModel.from_pretrained(source, add_pooling_layer=False).eval()
    model = from_bert(bert, layers=layers, positions=positions)
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


@torch.no_grad()
def from_bert(
    bert: transformers.BertModel, *, layers: int | None = None, positions: int = 192
) -> transformers.XLNetForQuestionAnswering:
    """The XLNet of :func:`save`."""
    sizes = bert.config
    model = transformers.XLNetForQuestionAnswering(
        transformers.XLNetConfig(
            vocab_size=sizes.vocab_size,
            d_model=sizes.hidden_size,
            n_layer=layers or sizes.num_hidden_layers,
            n_head=sizes.num_attention_heads,
            d_inner=sizes.intermediate_size,
            ff_activation=sizes.hidden_act,
            layer_norm_eps=sizes.layer_norm_eps,
            dropout=0.0,
            pad_token_id=sizes.pad_token_id,
            bos_token_id=None,
            eos_token_id=None,
        )
    )
    parts, xlnet = bert.embeddings, model.transformer
    # XLNet does not normalise its embeddings: they are stored as they are after that.
    table = parts.word_embeddings.weight + parts.token_type_embeddings.weight[0]
    table = table + parts.position_embeddings.weight[:positions].mean(dim=0)
    xlnet.word_embedding.weight.copy_(parts.LayerNorm(table))
    xlnet.mask_emb.zero_()
    norm = parts.LayerNorm
    for new, old in zip(xlnet.layer, bert.encoder.layer, strict=False):
        _copy_layer(new, old, norm)
        norm = old.output.LayerNorm
    return model


def _copy_layer(new: XLNetLayer, old: BertLayer, norm: torch.nn.LayerNorm) -> None:
    """Copies a layer whose input has gone through the normalisation ``norm``."""
    attention, old_self, old_output = new.rel_attn, old.attention.self, old.attention.output
    heads = attention.r_w_bias.shape
    # A bias of the keys adds the same to all scores of a query; softmax does not see it. XLNet adds
    # the biases of queries where they meet keys, distances and segments.
    for bias in (attention.r_w_bias, attention.r_r_bias, attention.r_s_bias):
        bias.copy_(old_self.query.bias.reshape(heads))
    attention.r.zero_()
    attention.seg_embed.zero_()
    # The weights of attention sum up to 1, so that a bias of the values arrives whole at the
    # output's matrix; the output's own bias is given to the values in the form that arrives as it,
    # up to a constant, which the normalisation after it takes away.
    output = old_output.dense
    reached = torch.cat((output.weight, torch.ones(len(output.weight), 1)), dim=1)
    # Not full rank: the matrix alone reaches vectors of all means.
    extra = torch.linalg.lstsq(reached, output.bias[:, None], driver="gelsd").solution[:-1, 0]
    value_bias = old_self.value.bias + extra
    # XLNet's values have none. But x = norm(...) has sum(x / weight) = sum(bias / weight), whatever
    # the token is, and with this constant a matrix adds a bias.
    along = 1 / norm.weight
    value = old_self.value.weight + torch.outer(value_bias, along / (along @ norm.bias))
    for matrix, weight in (
        (attention.q, old_self.query.weight),
        (attention.k, old_self.key.weight),
        (attention.v, value),
    ):
        matrix.copy_(weight.T.reshape(matrix.shape))
    attention.o.copy_(output.weight.reshape(attention.o.shape))
    attention.layer_norm.load_state_dict(old_output.LayerNorm.state_dict())
    new.ff.layer_1.load_state_dict(old.intermediate.dense.state_dict())
    new.ff.layer_2.load_state_dict(old.output.dense.state_dict())
    new.ff.layer_norm.load_state_dict(old.output.LayerNorm.state_dict())
