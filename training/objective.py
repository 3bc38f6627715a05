"""The objective and the head reset of BITS (arXiv 2602.09764), equation by equation.

Tensors are `[views, n, B]`; results are scalar tensors, divided by B: mean over bits. Under several processes n is a
process's share of the batch; agreement is the mean over that share, the rate is that of the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from codelab.core.errors import UsageError
from training.config import ObjectiveName, TrainConfig
from training.distributed import total, world
from training.losses import (
    bit_bce,
    cosine_bits,
    mean_cosine,
    mean_rate,
    prototype_cross_entropy,
    rate_of_rows,
    soft_bce,
)


@dataclass(frozen=True)
class Terms:
    """One step's loss and its parts, scalar tensors; `loss` is the one to minimise."""

    loss: Tensor
    agreement: Tensor
    rate: Tensor


class Objective(nn.Module):
    """`loss = agreement - weight * rate`, for each of the objectives a config names.

    | objective | agreement | weight of the rate |
    |---|---|---|
    | bits, soft-bits, cosine-bits | BCE with hard bits (Eq. 8), with soft bits, cosine with bits in ±1 | beta / B |
    | simdino | minus the mean cosine | beta (1/B + 1/n) |
    | hashcoder | BCE with the student's own bits on its other views | beta (1/B + 1/n) |
    | dino | cross-entropy over prototypes | none |

    Its only state is DINO's centre.
    """

    centre: Tensor

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("centre", torch.zeros(config.prototypes if config.objective == "dino" else 0))

    def forward(self, student: Tensor, teacher: Tensor) -> Terms:
        """The terms of student outputs `[V, n, D]`, the T global views first, against teacher outputs `[T, n, D]`.

        Raises:
            UsageError: the config names no objective there is.
        """
        config, T = self.config, len(teacher)
        student, teacher = student.float(), teacher.detach().float()
        n, B = student.shape[1] * world(), student.shape[2]
        weight = config.beta / B
        match config.objective:
            case "bits":
                agreement = bit_bce(student, teacher)
            case "soft-bits":
                agreement = soft_bce(student, teacher, config.tau)
            case "cosine-bits":
                agreement = cosine_bits(student, teacher)
            case "simdino":
                agreement, weight = mean_cosine(student, teacher), config.beta * (1 / B + 1 / n)
            case "hashcoder":
                agreement, weight = bit_bce(student, student[:T]), config.beta * (1 / B + 1 / n)
            case "dino":
                agreement = prototype_cross_entropy(
                    student, teacher, self.centre, config.student_temperature, config.teacher_temperature
                )
                self._move_centre(teacher)
                return Terms(agreement, agreement, agreement.new_zeros(()))
            case unknown:
                raise UsageError(f"objective: found {unknown!r}, expected {' or '.join(get_args(ObjectiveName))}")
        rate = self.rate(student, teacher)
        return Terms(agreement - weight * rate, agreement, rate)

    def rate(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Eq. 9 averaged over views: of the student's outputs, or of their mean with the teacher's (`blend`)."""
        config, T = self.config, len(teacher)
        blend = config.blend == "on" or (config.blend == "auto" and config.objective == "simdino")
        if not blend:
            rated = student if config.rate_views == "all" else student[:T]
            return mean_rate(rated, config.eps2, config.centred)
        with torch.autocast(student.device.type, enabled=False):
            # SimDINO takes the mean of the two networks' normalised outputs of a view, not normalised again.
            z = (functional.normalize(student[:T], dim=2) + functional.normalize(teacher, dim=2)) / 2
            return torch.stack([rate_of_rows(view, config.eps2, config.centred) for view in z]).mean()

    @torch.no_grad()
    def _move_centre(self, teacher: Tensor) -> None:
        mean = total(teacher.mean((0, 1))) / world()
        mean = torch.where(mean.isfinite(), mean, self.centre)  # one bad batch must not spoil the centre for good
        self.centre.lerp_(mean, 1 - self.config.centre_momentum)


class Redrawn(Protocol):
    """A module that can draw new weights."""

    def draw(self, seed: int) -> None: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...


def reset_head(student_head: Redrawn, teacher_head: Redrawn, optimizer: torch.optim.Optimizer, seed: int) -> None:
    """Re-draw both heads alike and forget the optimiser's moments of the student's head.

    Student and teacher agree on a new code while the backbone keeps what it learned; the moments of the old head
    would move the new weights in directions that mean nothing to them. How the teacher's head follows from there is
    `schedules.head_weight`.

    Source: BITS (arXiv 2602.09764), periodic head reset; that both heads are drawn alike and that the moments are
    dropped are choices, as the paper names neither.
    """
    for head in (student_head, teacher_head):
        head.draw(seed)
    for parameter in student_head.parameters():
        optimizer.state.pop(parameter, None)
