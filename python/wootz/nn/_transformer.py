"""Normalisation, embeddings, attention and transformers."""

from collections.abc import Sequence
from typing import Any

from wootz import _native
from wootz._errors import ModelError
from wootz.nn._layers import Builtin
from wootz.nn._sizes import size, sizes


def _normalized(kind: str, shape: int | Sequence[int]) -> list[int]:
    if isinstance(shape, Sequence):
        return sizes(kind, "normalized_shape", shape)
    return [size(kind, "normalized_shape", shape)]


class LayerNorm(Builtin):
    """(x - mean) / √(variance + eps) · weight + bias over the last axes, whose sizes are `normalized_shape`."""

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True
    ) -> None:
        shape = _normalized("LayerNorm", normalized_shape)
        super().__init__(_native.Model.layer_norm(shape, eps, elementwise_affine, elementwise_affine and bias))


class RMSNorm(Builtin):
    """x / √(mean x² + eps) · weight over the last axes. Without `eps` it is the distance from 1 to the next number of the dtype."""

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float | None = None, elementwise_affine: bool = True
    ) -> None:
        super().__init__(_native.Model.rms_norm(_normalized("RMSNorm", normalized_shape), eps, elementwise_affine))


class Embedding(Builtin):
    """Ids `x [..]` → `output [.., embedding_dim]`: rows of the parameter `weight [num_embeddings, embedding_dim]`, which starts from
    N(0, 1). The row of `padding_idx` is not trained. An id out of bounds reads the nearest row."""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, weight_init: object = None
    ) -> None:
        num_embeddings = size("Embedding", "num_embeddings", num_embeddings)
        embedding_dim = size("Embedding", "embedding_dim", embedding_dim)
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ModelError(f"padding_idx {padding_idx} is not a row of a table of {num_embeddings}")
        if padding_idx is not None and padding_idx < 0:
            padding_idx += num_embeddings
        pair = _native.Model.tied_embedding(num_embeddings, embedding_dim, padding_idx, weight_init)
        super().__init__(pair[0])
        self._tied = pair[1]


class TiedLinear(Builtin):
    """`x [.., width]` → `output [.., rows]` = x · weightᵀ with the table of an `Embedding`: the last layer of a model that shares the
    parameters of its first."""

    def __init__(self, embedding: Embedding) -> None:
        super().__init__(embedding._tied)


class PositionalEmbedding(Builtin):
    """`x [.., S, width]` → x plus the first S rows of the parameter `weight [num_positions, width]`, which starts from N(0, 0.02²)."""

    def __init__(self, num_positions: int, embedding_dim: int) -> None:
        positions = size("PositionalEmbedding", "num_positions", num_positions)
        width = size("PositionalEmbedding", "embedding_dim", embedding_dim)
        super().__init__(_native.Model.positional_embedding(positions, width))


class MultiheadAttention(Builtin):
    """Attention with several heads, with the parameters of PyTorch's: `in_proj_weight`, `in_proj_bias`, `out_proj.weight`,
    `out_proj.bias`. The inputs are `[.., S, embed_dim]`: the axis of positions is the last but one.

    Self-attention of one input `x`, unless `cross`: then the inputs are `query`, `key` and `value`. With `mask` there is one more
    input, `mask`, that broadcasts to `[.., heads, queries, keys]` and is true where a query sees a key (as in
    `scaled_dot_product_attention`), or is added to the scores. `causal`: position i sees positions 0 to i.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        causal: bool = False,
        cross: bool = False,
        mask: bool = False,
    ) -> None:
        flags = {"bias": bias, "causal": causal, "cross": cross, "mask": mask}
        width = size("MultiheadAttention", "embed_dim", embed_dim)
        heads = size("MultiheadAttention", "num_heads", num_heads)
        super().__init__(_native.Model.multihead_attention(width, heads, dropout, **flags))


_ACTIVATIONS = ("relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid", "softplus")


def _layer(
    kind: str,
    d_model: int,
    nhead: int,
    dim_feedforward: int,
    dropout: float,
    activation: str,
    layer_norm_eps: float,
    norm_first: bool,
    bias: bool,
    causal: bool,
) -> _native.TransformerLayer:
    if activation not in _ACTIVATIONS:
        raise ModelError(f"activation must be one of {', '.join(_ACTIVATIONS)}, not {activation!r}")
    flags = {"norm_first": norm_first, "bias": bias, "causal": causal}
    width, heads = size(kind, "d_model", d_model), size(kind, "nhead", nhead)
    feedforward = size(kind, "dim_feedforward", dim_feedforward)
    return _native.TransformerLayer(width, heads, feedforward, dropout, activation, layer_norm_eps, **flags)


class TransformerEncoderLayer(Builtin):
    """Self-attention and a feed-forward network of two linear layers, each with a residual connection and a normalisation:
    `x [.., S, d_model]` → `output [.., S, d_model]`. Parameters and defaults are those of PyTorch's layer with `batch_first=True`;
    `causal` makes it the layer of decoder-only models."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str = "relu",
        layer_norm_eps: float = 1e-5,
        norm_first: bool = False,
        bias: bool = True,
        causal: bool = False,
    ) -> None:
        parts = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, norm_first, bias, causal)
        self._layer = _layer("TransformerEncoderLayer", *parts)
        super().__init__(self._layer.model())


class TransformerEncoder(Builtin):
    """`num_layers` layers like `layer`, with parameters of their own (`layers.0.…`, `layers.1.…`), and after them a normalisation
    (`norm.…`) if `norm`; by default where the layers normalise first."""

    def __init__(self, layer: TransformerEncoderLayer, num_layers: int, norm: bool | None = None) -> None:
        super().__init__(layer._layer.stack(size("TransformerEncoder", "num_layers", num_layers), norm))


class Transformer(Builtin):
    """A decoder-only transformer as GPT-2: tokens `x [.., S]` → `logits [.., S, vocabulary]`."""

    def __init__(
        self,
        vocabulary: int,
        context: int,
        width: int = 512,
        heads: int = 8,
        layers: int = 6,
        feedforward: int | None = None,
        dropout: float = 0.0,
        activation: str = "gelu",
        layer_norm_eps: float = 1e-5,
        norm_first: bool = True,
        bias: bool = True,
        tied: bool = True,
    ) -> None:
        width, heads = size("Transformer", "width", width), size("Transformer", "heads", heads)
        vocabulary, context = size("Transformer", "vocabulary", vocabulary), size("Transformer", "context", context)
        feedforward = 4 * width if feedforward is None else size("Transformer", "feedforward", feedforward)
        parts = (width, heads, feedforward, dropout, activation, layer_norm_eps, norm_first, bias, True)
        layer = _layer("Transformer", *parts)
        super().__init__(layer.transformer(vocabulary, context, size("Transformer", "layers", layers), tied))
        self.context = context


def transformer(vocabulary: int, context: int, width: int = 512, heads: int = 8, layers: int = 6, **options: Any) -> Transformer:
    """A decoder-only transformer: causal self-attention, learnt positions, normalisation first, GELU, and a last layer that shares the
    table of the token embedding unless `tied=False`. Further options are those of `nn.Transformer`.

    Parameters: `embedding.weight`, `position.weight`, `layers.0.self_attn.in_proj_weight`, … as in PyTorch's
    `TransformerEncoderLayer`, `norm.weight`, `norm.bias`, and `head.weight` where it is not tied.
    """
    return Transformer(vocabulary, context, width, heads, layers, **options)
