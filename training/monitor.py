"""Is the run healthy: running metrics read without holding up the device, a line for a person, alarms in words."""

from __future__ import annotations

import math
from collections import deque
from math import nan

import torch
from torch import Tensor

from training import distributed
from training.objective import Terms

TOLERATED = 2
"""Steps in a row without a finite gradient that are skipped; one more ends the run."""
MIN_DOF = 2.0
"""Fewer independent coins than this, and the code is a label with two or three values."""
_ROWS = 1024  # recent codes kept: enough for entropy and dof, little enough for all pairs of them


class Monitor:
    """Keeps the metrics and codes of recent steps on the device; `read` fetches them in one go.

    Args:
        rate_max: the largest coding rate a batch can have.
        tolerated: steps in a row without a finite gradient that are skipped; one more ends the run.
    """

    def __init__(self, rate_max: float, tolerated: int = TOLERATED) -> None:
        self.rate_max, self.tolerated = rate_max, tolerated
        self.bad_run: list[int] = []
        """The longest stretch of steps without a finite gradient that the last reading saw."""
        self._steps: list[Tensor] = []
        self._bad: list[tuple[int, Tensor]] = []
        self._codes: deque[Tensor] = deque()

    def record(self, step: int, terms: Terms, bad: Tensor, student: Tensor, teacher: Tensor) -> None:
        """Note one step: its number, its terms, whether it was skipped, logits `[T, n, B]` of student and teacher."""
        self._steps.append(torch.stack([terms.loss.detach(), terms.agreement.detach(), terms.rate.detach()]))
        self._bad.append((step, bad))
        self._codes.append(torch.stack([student[0].detach() > 0, teacher[-1] > 0]))
        while sum(c.shape[1] for c in self._codes) - self._codes[0].shape[1] >= _ROWS:
            self._codes.popleft()

    def forget_codes(self) -> None:
        """Drop the codes from before a head reset: the new head makes another code."""
        self._codes.clear()

    def read(self) -> dict[str, float]:
        """Means over the finite steps since the last reading; entropy, agreement and dof over the recent codes."""
        numbers = [step for step, _ in self._bad]
        bad = torch.stack([flag for _, flag in self._bad]).bool().tolist()
        steps = distributed.mean(torch.stack(self._steps)).tolist()
        self._steps.clear()
        self._bad.clear()
        self._note_bad(numbers, bad)
        good = [row for row, flag in zip(steps, bad, strict=True) if not flag]
        loss, agreement, rate = (sum(column) / len(good) for column in zip(*good, strict=True)) if good else [nan] * 3
        student, teacher = distributed.gather(torch.cat(list(self._codes), dim=1).float(), dim=1)
        return {
            "loss": loss,
            "agreement_loss": agreement,
            "rate": rate,
            "rate_share": rate / self.rate_max,
            "entropy": mean_entropy(teacher),
            "agreement": agreement_above_chance(student, teacher),
            "dof": degrees_of_freedom(teacher),
            "skipped": sum(bad),
        }

    def _note_bad(self, numbers: list[int], bad: list[bool]) -> None:
        stretch = longest = self.bad_run
        for number, flag in zip(numbers, bad, strict=True):
            stretch = [*stretch, number] if flag else []
            longest = max(longest, stretch, key=len)
        self.bad_run = longest if len(longest) > self.tolerated else stretch


def mean_entropy(codes: Tensor) -> float:
    """Mean over bits of the entropy of one bit, in bits, of 0/1 codes `[n, B]`."""
    p = codes.mean(0).double()
    q = 1 - p
    return abs(float((torch.xlogy(p, p) + torch.xlogy(q, q)).mean() / math.log(2)))


def agreement_above_chance(a: Tensor, b: Tensor) -> float:
    """Cohen's kappa over all bits of two views' codes `[n, B]`: 1 always agree, 0 as often as by chance.

    0 for codes that never change.
    """
    p, q = a.mean(0), b.mean(0)
    chance = float((p * q + (1 - p) * (1 - q)).mean())
    agree = float((a == b).float().mean())
    return (agree - chance) / (1 - chance) if chance < 1 else 0.0


def degrees_of_freedom(codes: Tensor) -> float:
    """How many independent coins 0/1 codes `[n, B]` are worth: m (1 - m) / s^2 of the normalised Hamming distances of
    all pairs; 0 where all codes are the same (Daugman, 2003)."""
    signs = 2 * codes - 1
    n, bits = codes.shape
    first, second = torch.triu_indices(n, n, 1, device=codes.device)
    distances = (bits - signs @ signs.T)[first, second] / (2 * bits)
    mean, variance = float(distances.mean()), float(distances.var())
    return mean * (1 - mean) / variance if variance > 0 else 0.0


def warning(values: dict[str, float], *, bce: bool = True) -> str | None:
    """What is wrong, in words, with a run that had time to settle; None where nothing is.

    Args:
        bce: the agreement is a cross-entropy of bits, so that ln 2 means coin flips.
    """
    if values["entropy"] < 0.2:
        return (
            f"the bits are dying: mean bit entropy {values['entropy']:.2f} of 1; nearly every image gets the same "
            "code. Raise beta, or set head_norm to batch"
        )
    if values["dof"] < MIN_DOF:
        return (
            f"the bits say the same: together they vary like {values['dof']:.1f} independent coins. Raise beta, or "
            "lower eps2"
        )
    if bce and values["agreement_loss"] > 0.98 * math.log(2):
        return (
            f"the views do not agree: BCE {values['agreement_loss']:.3f} stays at ln 2 = 0.693, as good as coin "
            "flips. Lower beta, raise the learning rate, or soften the crops"
        )
    if not bce and values["agreement"] < 0.02:
        return (
            f"the views do not agree: their bits are equal as often as by chance (kappa {values['agreement']:.2f}). "
            "Lower beta, raise the learning rate, or soften the crops"
        )
    return None


def health_line(values: dict[str, float]) -> str:
    """The metrics as a person reads them while waiting."""
    return (
        f"loss {values['loss']:.3f}  agree {values['agreement']:+.2f}  entropy {values['entropy']:.2f}  "
        f"dof {values['dof']:.0f}  R/Rmax {values['rate_share']:.2f}  {values['images_per_second']:.0f} img/s  "
        f"data wait {values['data_wait']:.0%}"
    )
