"""The compact training module of codelab: BITS (arXiv 2602.09764) from scratch, config to checkpoint."""

from training.coder import HashCoder, fit_coder
from training.config import TrainConfig
from training.loop import fit
from training.losses import bit_bce, bits_loss, coding_rate
from training.objective import reset_head

__all__ = ["HashCoder", "TrainConfig", "bit_bce", "bits_loss", "coding_rate", "fit", "fit_coder", "reset_head"]
