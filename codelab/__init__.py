"""codelab: turn images into packed binary codes, and say what every bit means, carries and retrieves.

Names are loaded when first used, so `import codelab` costs milliseconds and never imports torch or numba.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Codes": "core.codes",
    "pack_bits": "core.codes",
    "unpack_bits": "core.codes",
    "load": "core.files",
    "iter_codes": "core.files",
    "CodelabError": "core.errors",
    "DataError": "core.errors",
    "UsageError": "core.errors",
    "Encoder": "images.encoder",
    "Binariser": "features.binariser",
    "binarize": "features.binariser",
    "bit_usage": "measures.bit_usage",
    "block_entropy": "measures.block_entropy",
    "degrees_of_freedom": "measures.degrees_of_freedom",
    "class_information": "measures.class_information",
    "bit_reuse": "measures.bit_reuse",
    "attribute_information": "measures.class_information",
    "class_log_odds": "measures.class_log_odds",
    "joint_information": "measures.joint_information",
    "code_length": "measures.code_length",
    "total_correlation": "measures.code_length",
    "collisions": "measures.collisions",
    "bit_dependence": "measures.bit_dependence",
    "smaller_code": "retrieval.shorter",
    "attribute_reuse": "measures.bit_reuse",
    "contrast_consistency": "measures.contrast_consistency",
    "channel": "measures.channel",
    "view_channels": "measures.channel",
    "channel_of_views": "measures.channel",
    "factors": "measures.disentanglement",
    "analyze_parts": "analysis",
    "geometry": "features.geometry",
    "pair_distances": "measures.pair_distances",
    "exemplars": "semantics.exemplars",
    "class_shares": "semantics.signatures",
    "describe_bit": "semantics.describe",
    "analyze": "analysis",
    "Analysis": "analysis",
    "verdicts": "reporting.verdict",
    "write_report": "reporting.report",
    "search": "neighbours.search",
    "retrieval_map": "retrieval.measures",
    "knn_accuracy": "retrieval.measures",
    "precision_at_k": "retrieval.measures",
    "recall_at_k": "retrieval.measures",
    "precision_within_radius": "retrieval.measures",
    "precision_recall_curve": "retrieval.measures",
    "ndcg": "retrieval.measures",
    "bit_budget_curve": "retrieval.shorter",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'codelab' has no attribute {name!r}")
    value = getattr(import_module(f"codelab.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
