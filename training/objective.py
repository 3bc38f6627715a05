"""The objective and the head reset of BITS (arXiv 2602.09764), equation by equation.

Tensors are `[views, n, B]`; results are scalar tensors, divided by B as METHOD 1 says: mean over bits.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from codelab.encoder import Head
from codelab.errors import UsageError


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
    (V, *item), (T, *item_t) = student.shape, teacher.shape
    if student.ndim != 3 or item != item_t or not 1 <= T <= V or V < 2:
        raise UsageError(
            f"bit_bce: student {list(student.shape)} and teacher {list(teacher.shape)}: "
            "expected [V, n, B] and [T, n, B] with 1 <= T <= V and V >= 2"
        )
    logits = student.float()
    message = (teacher.detach() > 0).float()
    # BCE(a, z) = softplus(a) - a z is linear in z, so the teacher views can be summed first: O(V), not O(V T).
    heard = message.sum(0).expand_as(logits).clone()
    heard[:T] -= message
    teachers = torch.full((V, 1, 1), float(T), device=logits.device)
    teachers[:T] -= 1
    total = (teachers * functional.softplus(logits) - logits * heard).sum()
    return total / ((T * V - T) * math.prod(item))


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
    n, B = logits.shape
    with torch.autocast(logits.device.type, enabled=False):
        z = functional.normalize(logits.float(), dim=1)
        if centred:
            z = z - z.mean(0)
        # The Gram matrix has the same determinant as the moment matrix; the smaller of the two is cheaper.
        moment = z @ z.T if n < B else z.T @ z
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


def reset_head(student_head: Head, teacher_head: Head, optimizer: torch.optim.Optimizer, seed: int) -> None:
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
