"""Patch logits of a vision transformer, weighted by the attention that the patches get in its last block."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from codelab.core.errors import UsageError


@torch.no_grad()
def weighted_patch_logits(encoder: Any, x: Tensor, bit: int) -> Tensor:
    """Attention x logit of each patch, `[G, G]`, with attention that sums to 1 over the patches.

    The logit of a patch is what the head gives for its token after the last block, in place of the pooled features.
    Its attention is that of the class token in the last block, the mean over heads; without a class token the mean
    over all tokens. Both are approximations: a token holds what it has read from other patches, and earlier blocks
    move it about.

    Args:
        encoder: its backbone is a vision transformer of timm.
        x: a prepared image `[3, S, S]`.
        bit: which bit.

    Raises:
        UsageError: the backbone is of another kind.

    Source: attention of the class token: Caron et al. 2021 (DINO); Abnar & Zuidema 2020 for what it does not say.
    """
    backbone = encoder.backbone
    attention = _last_attention(encoder)
    given: list[Tensor] = []
    hook = attention.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    was_training = encoder.training
    encoder.train(False)
    try:
        tokens = backbone.forward_features(x[None].to(next(encoder.parameters()).device))
        prefix = backbone.num_prefix_tokens
        logits = encoder.head(backbone.fc_norm(tokens[0, prefix:]))[:, bit]
        weights = _attention(attention, given[0])[0].mean(dim=0)
    finally:
        hook.remove()
        encoder.train(was_training)
    weight = (weights[0] if backbone.has_class_token else weights.mean(dim=0))[prefix:]
    side = round(len(logits) ** 0.5)
    return (logits * weight / weight.sum()).reshape(side, side).float().cpu()


def has_attention(encoder: Any) -> bool:
    """Whether `weighted_patch_logits` knows the encoder's network: a plain vision transformer of timm.

    Example:
        >>> from codelab.images.encoder import Encoder, EncoderConfig
        >>> has_attention(Encoder(EncoderConfig(bits=8, image_size=16, width=8, hidden=16)))
        False
    """
    try:
        _last_attention(encoder)
    except UsageError:
        return False
    return True


def _last_attention(encoder: Any) -> Any:
    try:
        from timm.models.vision_transformer import Attention, VisionTransformer  # type: ignore[attr-defined]
    except ImportError:  # then there is no transformer
        found = None
    else:
        backbone = encoder.backbone
        plain = isinstance(backbone, VisionTransformer) and backbone.attn_pool is None
        found = getattr(backbone.blocks[-1], "attn", None) if plain else None
        found = found if isinstance(found, Attention) else None
    if found is None:
        raise UsageError(
            f"method='attention': found the backbone {encoder.config.backbone!r}, expected a plain vision transformer "
            "of timm, such as vit_small_patch16_224"
        )
    return found


def _attention(layer: Any, tokens: Tensor) -> Tensor:
    """Softmax(q k' / sqrt(d)) of a layer's input `[n, T, C]`: `[n, heads, T, T]`."""
    n, count, _ = tokens.shape
    query, key, _ = layer.qkv(tokens).reshape(n, count, 3, layer.num_heads, -1).permute(2, 0, 3, 1, 4)
    return (layer.q_norm(query) * layer.scale @ layer.k_norm(key).transpose(-2, -1)).softmax(dim=-1)
