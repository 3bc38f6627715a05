"""What the paper compares its agreement with: soft bits, cosine on bits, SimDINO's cosine, DINO's prototypes.

Tensors are `[views, n, D]`, the teacher's T views first; each loss is a mean over images and cross pairs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.pairs import heard_message, pair_count


def soft_bce(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """Cross-entropy of the student's logits against soft bits sigmoid(a_t / tau), mean over bits, in nats.

    Source: BITS (arXiv 2602.09764), Table 10; tau -> 0 is `bit_bce`.

    Example:
        >>> a = torch.tensor([[[3.0]], [[-3.0]]])
        >>> round(soft_bce(a, a, 0.01).item(), 4)
        3.0486
    """
    heard, teachers = heard_message(torch.sigmoid(teacher / tau), student)
    loss = (teachers * functional.softplus(student) - student * heard).sum()
    return loss / (pair_count(student, teacher) * math.prod(student.shape[1:]))


def mean_cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """Minus the mean cosine of outputs, between -1 and 1.

    Source: SimDINO (arXiv 2502.10385).

    Example:
        >>> a = torch.tensor([[[3.0, 0.0]], [[0.0, 2.0]]])
        >>> abs(mean_cosine(a, a).item())  # the two views are at right angles
        0.0
    """
    heard, _ = heard_message(functional.normalize(teacher, dim=2), student)
    return -(functional.normalize(student, dim=2) * heard).sum() / (pair_count(student, teacher) * student.shape[1])


def cosine_bits(student: Tensor, teacher: Tensor) -> Tensor:
    """Minus the mean cosine of the student's logits with the teacher's bits in -1, +1.

    Source: BITS (arXiv 2602.09764), Table 3.
    """
    return mean_cosine(student, 2 * (teacher > 0).float() - 1)


def prototype_cross_entropy(
    student: Tensor, teacher: Tensor, centre: Tensor, student_temperature: float, teacher_temperature: float
) -> Tensor:
    """Cross-entropy of the student's softmax against the teacher's centred and sharpened one, in nats.

    Source: DINO (arXiv 2104.14294), Eq. 4 and 5.
    """
    heard, _ = heard_message(torch.softmax((teacher - centre) / teacher_temperature, 2), student)
    said = torch.log_softmax(student / student_temperature, 2)
    return -(said * heard).sum() / (pair_count(student, teacher) * student.shape[1])


class Prototypes(nn.Module):
    """DINO's last layer: cosines `[n, K]` of the head's output `[n, D]` with K prototypes.

    A weight-normed linear layer without bias whose norms stay 1.
    """

    def __init__(self, dims: int, count: int, *, seed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, dims))
        self.draw(seed)

    def draw(self, seed: int) -> None:
        """Draw all prototypes anew, the same on every device."""
        weights = torch.empty(self.weight.shape)
        nn.init.trunc_normal_(weights, std=0.02, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            self.weight.copy_(weights)

    def forward(self, outputs: Tensor) -> Tensor:
        return functional.linear(functional.normalize(outputs, dim=-1), functional.normalize(self.weight, dim=-1))
