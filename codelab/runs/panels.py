"""The panels of a training run's report: what each draws, and how to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from codelab.runs.figures import Line, Panel
from codelab.runs.readings import Curves
from codelab.runs.verdict import LN2

Described = tuple[str, str, Panel]
"""Heading, how to read it, what is drawn."""


def panels(runs: Sequence[Curves]) -> list[Described]:
    """Panels in the order in which one looks: does it learn, do the bits live, does it retrieve, is it fast."""
    return [*_learning(runs), *_evaluated(runs), *_effort(runs)]


def _learning(runs: Sequence[Curves]) -> list[Described]:
    """Does it learn, and do the bits live?"""
    bce = [run.bce for run in runs]
    limit = (LN2, "ln 2 = 0.693") if any(bce) else None
    flips = " A BCE of bits falls well under ln 2 = 0.693 (dotted), which is coin flips." if any(bce) else ""
    reset = " After a head reset the loss jumps and recovers." if any(run.resets for run in runs) else ""
    scored = " Diamonds are the teacher on the evaluation images." if any(len(r.evaluations) for r in runs) else ""
    return [
        (
            "Loss and its terms",
            "The loss is the agreement term less the rate term, which is the weighted coding rate. Healthy: loss and "
            f"agreement term fall.{flips}{reset}",
            Panel(
                (
                    Line("loss", "loss"),
                    Line("agreement term" + (" (BCE)" if all(bce) else ""), "agreement_loss", limit=limit),
                    Line("rate term", "rate_term"),
                ),
                "nats a bit" if all(bce) else "loss",
            ),
        ),
        (
            "Entropy, agreement and coding rate",
            "Healthy: the entropy of a bit near 0.9 of 1, and agreement of two views far above 0, which is chance. "
            "Entropy that falls to 0 means dying bits. The rate share is the coding rate over its largest; near 1 "
            f"without agreement, beta is too large.{scored}",
            Panel(
                (
                    Line("bit entropy", "entropy", "entropy"),
                    Line("agreement", "agreement", "kappa"),
                    Line("rate share", "rate_share"),
                ),
                "0 to 1 (entropy in bits)",
                span=(0, 1),
            ),
        ),
        (
            "Degrees of freedom",
            f"How many independent coins the bits are worth: more is richer, and it never falls to a few.{scored}",
            Panel((Line("degrees of freedom", "dof", "dof"),), "independent coins", span=(0, 1), hover=".1f"),
        ),
    ]


def _evaluated(runs: Sequence[Curves]) -> list[Described]:
    """Does it retrieve, and are the codes rich?"""
    widths = {min(8, bits) for run in runs if isinstance(bits := run.config.get("bits"), int)}
    full = (float(width := min(widths)), f"full: {width} bits") if len(widths) == 1 else None
    return [
        (
            "Retrieval",
            f"{_on_what(runs)} Healthy: it rises, and codes are not far below features. A star is the teacher kept as "
            "the best.",
            Panel(
                (
                    Line("code mAP", score="code_map"),
                    Line("feature mAP", score="feature_map"),
                    Line("code 10-NN", score="code_knn"),
                    Line("feature 10-NN", score="feature_knn"),
                ),
                "mAP, or share right",
            ),
        ),
        (
            "Block entropy",
            "Entropy of 8 neighbouring bits of the evaluated codes. Healthy near 7 of 8, never by itself: full blocks "
            "do not show a rich code, so read it beside the degrees of freedom.",
            Panel((Line("block entropy", score="block_entropy", limit=full),), "bits", span=(0, 1)),
        ),
        (
            "Dimensions of the features",
            "How many dimensions the backbone's features use, by two measures (participation ratio and entropy of the "
            "eigenvalues). Healthy: they do not fall to a few.",
            Panel(
                (Line("d_eff", score="d_eff"), Line("r_eff", score="r_eff")), "dimensions", span=(0, 1), hover=".1f"
            ),
        ),
    ]


def _effort(runs: Sequence[Curves]) -> list[Described]:
    """Is it fast?"""
    return [
        (
            "Learning rate",
            "A straight rise while the run warms up, then half a cosine down; a head reset does not change it.",
            Panel((Line("learning rate", "lr"),), "learning rate", span=(0, 0), tick="~g", hover=".3g"),
        ),
        (
            "Speed",
            f"Images a second between readings, evaluations left out.{_speed(runs)}",
            Panel((Line("images a second", "images_per_second"),), "images a second", span=(0, 1), hover=",.0f"),
        ),
        (
            "Waiting for data",
            "Share of the time in which a step waited for images. Healthy near 0; much more calls for more workers, "
            "or for images kept in memory.",
            Panel((Line("waiting for data", "data_wait"),), "share of time", span=(0, 0.1), tick=".0%", hover=".1%"),
        ),
    ]


def _on_what(runs: Sequence[Curves]) -> str:
    """Which images were evaluated, where it is the same in all runs."""
    configs = [run.config for run in runs if run.config]
    images = {tuple(map(str, evaluated_on(config)[:2])) for config in configs}
    counts = {int(n) for run in runs for n in run.evaluations["images"] if np.isfinite(n)}
    text = "By Hamming distance of codes and cosine of features, averaged over classes"
    if len(images) != 1 or len(counts) != 1:
        return f"{text}."
    ((data, split),) = images
    seen = all((data, split) == (str(config.get("data")), str(config.get("split") or "")) for config in configs)
    of = f"{counts.pop():,} images of {data}{f' ({split})' if split else ''}"
    return f"{text}, on {of}{', which are also those it was trained on, without their labels' if seen else ''}."


def _speed(runs: Sequence[Curves]) -> str:
    """The median, and how long the steps took, of one run."""
    rates = runs[0].readings["images_per_second"]
    if len(runs) > 1 or not np.isfinite(rates).any():
        return ""
    text = f" The median is {np.nanmedian(rates):,.0f}"
    batch = runs[0].config.get("batch")
    if isinstance(batch, int) and (rates > 0).all():
        seconds = float((np.diff(runs[0].readings.step, prepend=0) * batch / rates).sum())
        text += f", and the steps took about {_duration(seconds)} in all"
    return f"{text}."


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def evaluated_on(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """Data, split, how many at most and what counts as near copies."""
    data, split = config.get("evaluate_data") or "", config.get("evaluate_split") or ""
    images = (data or config.get("data"), split) if data or split else (config.get("data"), config.get("split") or "")
    return (*images, config.get("evaluate_images"), config.get("evaluate_group"))
