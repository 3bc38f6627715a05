"""The equations: agreement over cross pairs, the coding rate, and the losses of the baselines."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from codelab.core.errors import UsageError
from training.distributed import total, world


def pair_count(student: Tensor, teacher: Tensor) -> int:
    """How many cross pairs V student and T teacher views make: T V - T."""
    return len(teacher) * len(student) - len(teacher)


def cross_view_targets(targets: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    """The target of each student view, summed over the teacher's *other* views, and the number of those views.

    Args:
        targets: `[T, n, D]`, one target for each teacher view.
        student: `[V, n, D]`; its first T views are the teacher's views.

    Returns:
        `[V, n, D]` and `[V, 1, 1]`.

    Raises:
        UsageError: the shapes do not fit, or there is no cross pair.

    Example:
        >>> summed, teachers = cross_view_targets(torch.tensor([[[1.0]], [[10.0]]]), torch.zeros(3, 1, 1))
        >>> summed.flatten().tolist(), teachers.flatten().tolist()
        ([10.0, 1.0, 11.0], [1.0, 1.0, 2.0])
    """
    V, T = len(student), len(targets)
    if student.ndim != 3 or student.shape[1:] != targets.shape[1:] or not 1 <= T <= V or V < 2:
        raise UsageError(
            f"objective: student {list(student.shape)} and teacher {list(targets.shape)}: "
            "expected [V, n, B] and [T, n, B] with 1 <= T <= V and V >= 2"
        )
    summed = targets.sum(0).expand_as(student).clone()
    summed[:T] -= targets
    teachers = torch.full((V, 1, 1), float(T), device=student.device)
    teachers[:T] -= 1
    return summed, teachers


def bit_bce(student: Tensor, teacher: Tensor) -> Tensor:
    """Agreement: cross-entropy of the student's logits against the teacher's hard bits of the *other* views.

    Args:
        student: logits `[V, n, B]`; its first T views are the teacher's views.
        teacher: logits `[T, n, B]`; a target is 1 where a logit is > 0, and takes no gradient.

    Returns:
        Mean over bits, images and the T V - T cross pairs, in nats; ln 2 where the student cannot tell.

    Raises:
        UsageError: the shapes do not fit, or there is no cross pair.

    Source: BITS, Eq. 8 divided by B.

    Example:
        >>> a = torch.tensor([[[3.0]], [[-3.0]]])
        >>> round(bit_bce(a, a).item(), 4)  # each view predicts the other's bit, and is wrong
        3.0486
    """
    logits = student.float()
    targets, teachers = cross_view_targets((teacher.detach() > 0).float(), student)
    # BCE(a, z) = softplus(a) - a z is linear in z, so the targets are summed first: O(V), not O(V T)
    loss = (teachers * functional.softplus(logits) - logits * targets).sum()
    return loss / (pair_count(student, teacher) * math.prod(student.shape[1:]))


def coding_rate(logits: Tensor, eps2: float = 0.05, centred: bool = False) -> Tensor:
    """Coding rate of one view: how many nats it takes to describe the normalised logits to a precision of eps2.

        R = 1/2 logdet(I + (B / eps2) C),   C = 1/n sum_i z_i z_i^T,   z_i = a_i / |a_i|

    It is computed in fp32 whatever the caller's autocast says: the determinant of a half-precision matrix is noise.

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
    """The largest rate n rows of B logits can have: min(n, B) orthogonal directions of equal weight.

    Example:
        >>> round(coding_rate_max(1000, 4, 0.5), 4) == round(2 * math.log(1 + 1 / 0.5), 4)
        True
    """
    rank = min(n, bits)
    return 0.5 * rank * math.log1p(bits / (eps2 * rank))


def bits_loss(
    student: Tensor, teacher: Tensor, beta: float = 0.1, eps2: float = 0.05, centred: bool = False
) -> Tensor:
    """The loss of BITS, R averaged over the student's global views:

        loss = bit_bce - (beta / B) R

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


def soft_bce(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """Cross-entropy of the student's logits against soft bits sigmoid(a_t / tau), mean over bits, in nats.

    Source: BITS (arXiv 2602.09764), Table 10; tau -> 0 is `bit_bce`.

    Example:
        >>> a = torch.tensor([[[3.0]], [[-3.0]]])
        >>> round(soft_bce(a, a, 0.01).item(), 4)
        3.0486
    """
    targets, teachers = cross_view_targets(torch.sigmoid(teacher / tau), student)
    loss = (teachers * functional.softplus(student) - student * targets).sum()
    return loss / (pair_count(student, teacher) * math.prod(student.shape[1:]))


def mean_cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """Minus the mean cosine of outputs, between -1 and 1.

    Source: SimDINO (arXiv 2502.10385).

    Example:
        >>> a = torch.tensor([[[3.0, 0.0]], [[0.0, 2.0]]])
        >>> abs(mean_cosine(a, a).item())  # the two views are at right angles
        0.0
    """
    targets, _ = cross_view_targets(functional.normalize(teacher, dim=2), student)
    return -(functional.normalize(student, dim=2) * targets).sum() / (pair_count(student, teacher) * student.shape[1])


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
    targets, _ = cross_view_targets(torch.softmax((teacher - centre) / teacher_temperature, 2), student)
    log_shares = torch.log_softmax(student / student_temperature, 2)
    return -(log_shares * targets).sum() / (pair_count(student, teacher) * student.shape[1])
