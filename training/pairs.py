"""Cross pairs: every teacher view with every student view but its own."""

from __future__ import annotations

import torch
from torch import Tensor

from codelab.errors import UsageError


def pair_count(student: Tensor, teacher: Tensor) -> int:
    """How many cross pairs V student and T teacher views make: T V - T."""
    return len(teacher) * len(student) - len(teacher)


def heard_message(message: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    """What each student view is to hear: the sum of the messages of the teacher's *other* views, and their number.

    Args:
        message: `[T, n, D]`, what the teacher says of its T views.
        student: `[V, n, D]`; its first T views are the teacher's.

    Returns:
        `[V, n, D]` and `[V, 1, 1]`.

    Raises:
        UsageError: the shapes do not fit, or there is no cross pair.

    Example:
        >>> heard, teachers = heard_message(torch.tensor([[[1.0]], [[10.0]]]), torch.zeros(3, 1, 1))
        >>> heard.flatten().tolist(), teachers.flatten().tolist()
        ([10.0, 1.0, 11.0], [1.0, 1.0, 2.0])
    """
    V, T = len(student), len(message)
    if student.ndim != 3 or student.shape[1:] != message.shape[1:] or not 1 <= T <= V or V < 2:
        raise UsageError(
            f"objective: student {list(student.shape)} and teacher {list(message.shape)}: "
            "expected [V, n, B] and [T, n, B] with 1 <= T <= V and V >= 2"
        )
    heard = message.sum(0).expand_as(student).clone()
    heard[:T] -= message
    teachers = torch.full((V, 1, 1), float(T), device=student.device)
    teachers[:T] -= 1
    return heard, teachers
