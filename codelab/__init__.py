"""codelab: turn images into packed binary codes, and say what every bit means, carries and retrieves.

Names are loaded when first used, so `import codelab` costs milliseconds and never imports torch or numba.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "core.bits": ["pack_bits", "unpack_bits"],
    "core.codes": ["Codes"],
    "core.errors": ["CodelabError", "DataError", "UsageError"],
    "core.files": ["iter_codes", "load"],
    "images.encoder": ["Encoder"],
    "images.heatmap": ["deletion_curves"],
    "features.binariser": ["Binariser", "binarize"],
    "features.geometry": ["geometry"],
    "neighbours.search": ["search"],
    "neighbours.changes": ["neighbour_changes"],
    "neighbours.projection": ["project"],
    "measures.attribute_reuse": ["attribute_reuse"],
    "measures.bit_dependence": ["bit_dependence"],
    "measures.bit_reuse": ["bit_reuse"],
    "measures.bit_usage": ["bit_usage"],
    "measures.block_entropy": ["block_entropy"],
    "measures.channel": ["channel", "channel_of_views", "view_channels"],
    "measures.attribute_information": ["attribute_information"],
    "measures.class_information": ["class_information"],
    "measures.class_log_odds": ["class_log_odds"],
    "measures.code_length": ["code_length", "total_correlation"],
    "measures.collisions": ["collisions"],
    "measures.contrast_consistency": ["contrast_consistency"],
    "measures.degrees_of_freedom": ["degrees_of_freedom"],
    "measures.disentanglement": ["factors"],
    "measures.joint_information": ["joint_information"],
    "measures.pair_distances": ["pair_distances"],
    "measures.shared_codes": ["shared_codes"],
    "retrieval.measures": [
        *("knn_accuracy", "ndcg", "precision_at_k", "precision_recall_curve", "precision_within_radius"),
        *("recall_at_k", "retrieval_map"),
    ],
    "retrieval.compare": ["compare_retrieval"],
    "retrieval.oversampling": ["oversampling_curve"],
    "retrieval.thresholds": ["thresholds"],
    "retrieval.shorter": ["bit_budget_curve", "smaller_code"],
    "semantics.describe": ["describe_bit"],
    "semantics.exemplars": ["exemplars"],
    "semantics.signatures": ["class_shares"],
    "semantics.alignment": ["align_attributes"],
    "semantics.ccgp": ["ccgp"],
    "semantics.class_signatures": ["class_signatures"],
    "semantics.decodable": ["decodable_bits"],
    "semantics.formulas": ["describe"],
    "semantics.matching": ["match_bits"],
    "semantics.monosemanticity": ["monosemanticity"],
    "semantics.names": ["name_bits", "read_ledger", "score_name", "write_ledger"],
    "semantics.pairs": ["attribute_pairs", "minimal_pairs"],
    "semantics.probing": ["probe_curve"],
    "semantics.value": ["bit_value"],
    "analysis.controls": ["controls"],
    "analysis.comparison": ["compare_codes"],
    "analysis": ["Analysis", "analyze", "analyze_parts"],
    "scoring.card": ["scorecard"],
    "reporting.report": ["write_report"],
    "reporting.scorecard_files": ["write_scorecard"],
    "reporting.verdict": ["verdicts"],
}
"""The public names of each module, in the order of the folders."""

_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'codelab' has no attribute {name!r}")
    value = getattr(import_module(f"codelab.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
