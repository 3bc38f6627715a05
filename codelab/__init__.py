"""codelab: turn images into packed binary codes, and say what every bit means, carries and retrieves.

Names are loaded when first used, so `import codelab` costs milliseconds and never imports torch or numba.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Codes": "codes",
    "pack_bits": "codes",
    "unpack_bits": "codes",
    "load": "files",
    "iter_codes": "files",
    "CodelabError": "errors",
    "DataError": "errors",
    "UsageError": "errors",
    "Encoder": "encoder",
    "Binariser": "binarize",
    "binarize": "binarize",
    "bit_usage": "information",
    "block_entropy": "information",
    "degrees_of_freedom": "information",
    "class_information": "information",
    "bit_reuse": "reuse",
    "attribute_information": "information",
    "class_log_odds": "information",
    "joint_information": "information",
    "code_length": "information",
    "total_correlation": "information",
    "collisions": "information",
    "bit_dependence": "information",
    "smaller_code": "information",
    "attribute_reuse": "reuse",
    "contrast_consistency": "contrast",
    "channel": "channel",
    "view_channels": "channel",
    "channel_of_views": "channel",
    "factors": "factors",
    "analyze_parts": "analyze",
    "geometry": "geometry",
    "pair_distances": "distances",
    "exemplars": "semantics",
    "class_shares": "semantics",
    "describe_bit": "one_bit",
    "analyze": "analyze",
    "Analysis": "headlines",
    "verdicts": "verdict",
    "write_report": "report",
    "search": "retrieval",
    "retrieval_map": "retrieval",
    "knn_accuracy": "retrieval",
    "precision_at_k": "retrieval",
    "recall_at_k": "retrieval",
    "precision_within_radius": "retrieval",
    "precision_recall_curve": "retrieval",
    "ndcg": "retrieval",
    "bit_budget_curve": "retrieval",
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


class _Package(ModuleType):
    """`codelab.geometry` is the function, also after its module `codelab.geometry` was imported by name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOME and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
