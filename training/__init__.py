"""The compact training module of codelab: BITS (arXiv 2602.09764) from scratch, config to checkpoint.

Names are loaded when first used, so that `import training.config` costs no torch.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "HashCoder": "coder",
    "TrainConfig": "config",
    "bit_bce": "losses",
    "bits_loss": "losses",
    "coding_rate": "losses",
    "fit": "loop",
    "fit_coder": "coder",
    "reset_head": "objective",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'training' has no attribute {name!r}")
    value = getattr(import_module(f"training.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
