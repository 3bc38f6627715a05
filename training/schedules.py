"""Schedules: rates and momenta of a step, head resets, and the weight of a reset's random head in the teacher."""

from __future__ import annotations

import math

from training.config import TrainConfig

LARGEST_DRAW = 0.05
"""A warning is printed where the teacher's head ends with more of its last random draw than this."""
_LEAST = 0.02  # the smallest weight of the student's head after a reset


def cosine(step: int, steps: int, start: float, end: float) -> float:
    """From `start` at step 0 to `end` at the last step along half a cosine.

    Example:
        >>> [round(cosine(s, 5, 1.0, 0.0), 2) for s in range(5)]
        [1.0, 0.85, 0.5, 0.15, 0.0]
    """
    progress = min(1.0, step / max(1, steps - 1))
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))


def warmup_cosine(step: int, steps: int, *, warmup: int, peak: float, end: float) -> float:
    """A straight rise to `peak` over the first `warmup` steps, then a cosine to `end`.

    The first step is already above 0, so that no step is wasted.

    Example:
        >>> [round(warmup_cosine(s, 6, warmup=2, peak=1.0, end=0.0), 2) for s in range(6)]
        [0.5, 1.0, 1.0, 0.75, 0.25, 0.0]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return cosine(step - warmup, steps - warmup, peak, end)


def is_reset_epoch(epoch: int, epochs: int, every: int) -> bool:
    """Whether the head is reset at the start of this epoch: at n, 2n, ..., and never in the last n epochs.

    Example:
        >>> [e for e in range(50) if is_reset_epoch(e, 50, 10)]
        [10, 20, 30, 40]
    """
    return every > 0 and epoch > 0 and epoch % every == 0 and epoch <= epochs - every


def last_reset(config: TrainConfig, steps_per_epoch: int, step: int) -> int | None:
    """The step before which the head was last drawn anew on a backbone that is trained; None where it never was.

    Such a draw is a reset, or the new head of a run that starts from trained weights.

    Args:
        step: how many steps are done.
    """
    started = config.reset_at_start or config.pretrained
    done = range(-(-step // steps_per_epoch))  # an epoch of which no step is done has not reset the head yet
    resets = [e * steps_per_epoch for e in done if is_reset_epoch(e, config.epochs, config.reset_every)]
    return resets[-1] if resets else 0 if started else None


def head_weight(config: TrainConfig, momentum: float, since: int | None) -> float:
    """The weight w of the student's head in one update of the teacher's head, t <- (1 - w) t + w s.

    With the momentum m of the step and k = 1, 2, ... the number of this step since the last reset:

        w = 1 - m                              before the first reset, and with `head_ema: plain`
        w = max(1 - m, 0.02, 1 / (k + 1))      with `head_ema: restart`

    A reset gives student and teacher the same random head. As m goes to 1 the plain form leaves the teacher's head
    near that draw, and the teacher is what a run exports. With the restart the teacher's head is the mean of the draw
    and of the student's heads after each step since, up to k = 49, and a moving average over some 50 steps from there.

    Measured on the demo with a reset every 6 of 18 epochs, code mAP minus that of a fixed head, five seeds: -.0122
    plain, -.0066 with m ending at .98, -.0087 with the student's head on the teacher's backbone, -.0013 restarted.

    Source: a choice of this implementation; BITS (arXiv 2602.09764) does not say how the teacher follows a reset.

    Args:
        since: steps since the last reset before this one, k - 1; None before the first reset.

    Example:
        >>> config = TrainConfig()
        >>> [round(head_weight(config, 0.996, since), 3) for since in (None, 0, 1, 2, 48, 1000)]
        [0.004, 0.5, 0.333, 0.25, 0.02, 0.02]
    """
    weight = 1 - momentum
    if config.head_ema == "plain" or since is None:
        return weight
    return max(weight, _LEAST, 1 / (since + 2))


def draw_weight(config: TrainConfig, steps_per_epoch: int, step: int | None = None) -> float:
    """The weight of the head's last random draw in the teacher's head, known before a step is taken.

    The product of 1 - w over the steps since that draw, w as in `head_weight`. Of a head that is never reset it is the
    weight of the initial weights. In the plain form it is .741 for the demo with a reset every 6 epochs, .667 for
    fashion-cpu with one each epoch, .986 for emoji-gpu, and for ImageNet .194, .441 and .664 with batches of 256, 512
    and 1,024; with the restart it is below .002 in all of them.

    Args:
        step: how many steps are done; all where None.

    Example:
        >>> config = TrainConfig(epochs=100, reset_every=10, ema=0.996)  # ImageNet's 5,004 batches of 256 images
        >>> from dataclasses import replace
        >>> round(draw_weight(replace(config, head_ema="plain"), 5004), 3), draw_weight(config, 5004) < 1e-9
        (0.194, True)
    """
    steps = config.epochs * steps_per_epoch
    step = steps if step is None else step
    drawn = last_reset(config, steps_per_epoch, step)
    left = 1.0
    for s in range(drawn or 0, step):
        since = None if drawn is None else s - drawn
        left *= 1 - head_weight(config, cosine(s, steps, config.ema, config.ema_end), since)
    return left


def draw_words(weight: float) -> str:
    """The weight of the head's last random draw, in words.

    Example:
        >>> draw_words(0.0016)
        "0.2% of the teacher's head, which is exported, is its last random draw"
    """
    return f"{weight:.1%} of the teacher's head, which is exported, is its last random draw"


def draw_warning(config: TrainConfig, weight: float) -> str | None:
    """What to do about a head that will end too near its last random draw; None where it will not.

    Args:
        weight: that of the draw after the last step, see `draw_weight`.
    """
    if weight <= LARGEST_DRAW:
        return None
    resets = config.head_ema == "plain" and config.reset_every > 0
    knobs = "set head_ema to restart" if resets else "train for more epochs"
    much = f"more than {LARGEST_DRAW:.0%} of the exported head"
    return f"{much} will be its last random draw; {knobs}, or lower ema and ema_end"
