"""The objective and the head reset of BITS (arXiv 2602.09764), equation by equation.

Tensors are `[views, n, B]`; results are scalar tensors, divided by B: mean over bits. Under several processes n is a
process's share of the batch; agreement is the mean over that share, the rate is that of the whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.baselines import cosine_bits, mean_cosine, prototype_cross_entropy, soft_bce
from training.config import TrainConfig
from training.distributed import total, world
from training.pairs import heard_message, pair_count


def bit_bce(student: Tensor, teacher: Tensor) -> Tensor:
    """Agreement: cross-entropy of the student's logits against the teacher's hard bits of the *other* views.

    Args:
        student: logits `[V, n, B]`; its first T views are the teacher's views.
        teacher: logits `[T, n, B]`; its message is 1 where a logit is > 0, and takes no gradient.

    Returns:
        Mean over bits, images and the T V - T cross pairs, in nats; ln 2 where nothing is known.

    Raises:
        UsageError: the shapes do not fit, or there is no cross pair.

    Source: BITS, Eq. 8 divided by B.

    Example:
        >>> a = torch.tensor([[[3.0]], [[-3.0]]])
        >>> round(bit_bce(a, a).item(), 4)  # each view is sure, and wrong about the other
        3.0486
    """
    logits = student.float()
    heard, teachers = heard_message((teacher.detach() > 0).float(), student)
    # BCE(a, z) = softplus(a) - a z is linear in z, so the teacher views were summed first: O(V), not O(V T).
    loss = (teachers * functional.softplus(logits) - logits * heard).sum()
    return loss / (pair_count(student, teacher) * math.prod(student.shape[1:]))


def coding_rate(logits: Tensor, eps2: float = 0.05, centred: bool = False) -> Tensor:
    """Coding rate of one view: how many nats it takes to describe the normalised logits to a precision of eps2.

    R = 1/2 logdet(I + (B / eps2) C), C the second moment of the L2-normalised rows; fp32 whatever the caller's
    autocast says, for the determinant of a half-precision matrix is noise.

    Args:
        logits: `[n, B]`.
        eps2: what divides B.
        centred: take the covariance in place of the second moment.

    Returns:
        R in nats, between 0 and `coding_rate_max`.

    Source: BITS, Eq. 9.

    Example:
        >>> round(coding_rate(torch.eye(4), eps2=0.5).item(), 4) == round(2 * math.log(1 + 1 / 0.5), 4)
        True
    """
    with torch.autocast(logits.device.type, enabled=False):
        return rate_of_rows(functional.normalize(logits.float(), dim=1), eps2, centred)


def rate_of_rows(z: Tensor, eps2: float, centred: bool = False) -> Tensor:
    """Eq. 9 of rows `[n, B]` as they are; n counts the rows of all processes."""
    B, n = z.shape[1], len(z) * world()
    if centred:
        z = z - total(z.sum(0)) / n
    # The Gram matrix has the same determinant as the moment matrix; the smaller of the two is cheaper.
    moment = z @ z.T if n < B and world() == 1 else total(z.T @ z)
    matrix = torch.eye(len(moment), device=z.device) + moment * (B / (eps2 * n))
    # logdet = 2 sum log diag(L); cholesky_ex does not wait for the device, as slogdet does
    return torch.linalg.cholesky_ex(matrix).L.diagonal().log().sum()


def coding_rate_max(n: int, bits: int, eps2: float = 0.05) -> float:
    """The largest rate n rows of B logits can have: orthogonal directions, all of one weight.

    Example:
        >>> round(coding_rate_max(1000, 4, 0.5), 4) == round(2 * math.log(1 + 1 / 0.5), 4)
        True
    """
    rank = min(n, bits)
    return 0.5 * rank * math.log1p(bits / (eps2 * rank))


def bits_loss(
    student: Tensor, teacher: Tensor, beta: float = 0.1, eps2: float = 0.05, centred: bool = False
) -> Tensor:
    """The loss: `bit_bce - (beta / B) * R`, R averaged over the student's global views.

    Args:
        student: logits `[V, n, B]`, the T global views first.
        teacher: logits `[T, n, B]` of the global views.
        beta: weight of the rate; too small and bits die, too large and views stop agreeing.
        eps2, centred: see `coding_rate`.

    Source: BITS, Eq. 10 divided by B.
    """
    return bit_bce(student, teacher) - beta / student.shape[-1] * mean_rate(student[: len(teacher)], eps2, centred)


def mean_rate(views: Tensor, eps2: float = 0.05, centred: bool = False) -> Tensor:
    """`coding_rate` of each view `[T, n, B]`, averaged."""
    return torch.stack([coding_rate(view, eps2, centred) for view in views]).mean()


@dataclass(frozen=True)
class Terms:
    """What one step's loss is made of, scalar tensors; `loss` is the one to minimise."""

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
        """The terms of student outputs `[V, n, D]`, the T global views first, against teacher outputs `[T, n, D]`."""
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
            case _:
                agreement = prototype_cross_entropy(
                    student, teacher, self.centre, config.student_temperature, config.teacher_temperature
                )
                self._move_centre(teacher)
                return Terms(agreement, agreement, agreement.new_zeros(()))
        rate = self.rate(student, teacher)
        return Terms(agreement - weight * rate, agreement, rate)

    def rate(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Eq. 9 of each view the config names, averaged; blended with the teacher where it says so."""
        config, T = self.config, len(teacher)
        blend = config.blend == "on" or (config.blend == "auto" and config.objective == "simdino")
        if not blend:
            heard = student if config.rate_views == "all" else student[:T]
            return mean_rate(heard, config.eps2, config.centred)
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
    """A module that can draw its weights anew."""

    def draw(self, seed: int) -> None: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...


def reset_head(student_head: Redrawn, teacher_head: Redrawn, optimizer: torch.optim.Optimizer, seed: int) -> None:
    """Re-draw both heads alike and forget the optimiser's moments of the student's head.

    The channel is renegotiated while the backbone keeps what it learned; stale Adam moments would pull the new
    weights towards the old ones.

    Source: BITS, periodic head reset; METHOD 2.
    """
    for head in (student_head, teacher_head):
        head.draw(seed)
    for parameter in student_head.parameters():
        optimizer.state.pop(parameter, None)


def is_reset_epoch(epoch: int, epochs: int, every: int) -> bool:
    """Whether the head is reset at the start of this epoch: at n, 2n, ..., and never in the last n epochs.

    Example:
        >>> [e for e in range(50) if is_reset_epoch(e, 50, 10)]
        [10, 20, 30, 40]
    """
    return every > 0 and epoch > 0 and epoch % every == 0 and epoch <= epochs - every
