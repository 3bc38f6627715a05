"""How a training run went, in words: how far it came, whether it is healthy, what alarmed it, its best evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from codelab.core.formats import number
from codelab.core.verdict import Level, Verdict
from codelab.measures.bit_usage import MEAN_ENTROPY
from codelab.runs.readings import SCORES, Curves

LN2 = math.log(2)
FLIPPED = 0.98 * LN2
"""A BCE from here on is no better than coin flips; the alarm of a run has the same limit."""
AGREES = 0.05
"""Agreement above chance under this is hardly any."""
SETTLED = 2
"""Epochs after the start or a head reset before low figures mean much."""

_TITLES: dict[Level, str] = {
    "good": "No fault found",
    "watch": "Worth a look",
    "bad": "Not healthy",
    "note": "Too little was recorded",
}
_BEST_BY = ("code_map", "feature_map", "code_knn", "feature_knn", "kappa", "dof")


def about(run: Curves) -> str:
    """What was trained, on one line."""
    config = run.config
    data, split = config.get("data"), config.get("split")
    resets = ", ".join(f"{step:,}" for step in run.resets[:8])
    if len(run.resets) > 8:
        resets += f" and {len(run.resets) - 8:,} more"
    parts = [
        f"objective {run.objective}" if config else "",
        f"{config['bits']} bits" if "bits" in config else "",
        str(config.get("backbone", "")),
        f"images {data}{f' ({split})' if split else ''}" if data else "",
        f"{config['epochs']} epochs" if "epochs" in config else "",
        f"head reset at step {resets}" if resets else "no head reset",
    ]
    return " · ".join(part for part in parts if part)


def course(run: Curves) -> Verdict:
    """How the run went, as a line: `text` has how far it came, its health and its best evaluation.

    What the run itself raised an alarm about comes first; where no alarm stands, the last reading is judged.
    """
    found: list[tuple[Level, str]] = []
    standing = next((alarm for alarm in run.alarms if alarm.standing), None)
    if standing is not None:
        found.append(("bad", f"Alarm since step {standing.first:,}: {standing.text}."))
    elif run.alarms:
        first, more = run.alarms[0], len(run.alarms) - 1
        others = f", and {count(more, 'more alarm')}" if more else ""
        found.append(("watch", f"Alarm at {stretch(first.first, first.last)}, over since{others}: {first.text}."))
    if run.diverged and not _finished(run):
        found.append(("bad", "It ended because the loss was not finite in several steps in a row (nonfinite.json)."))
    if standing is None:
        found += _judged(run)
    skipped = int(np.nansum(run.readings["skipped"]))
    parts = [_reached(run), *(text for _, text in found)]
    level: Level = next((x for x in ("bad", "watch") if any(one == x for one, _ in found)), "good")
    if not found:
        signs = _signs(run)
        level = "good" if signs else "note"
        parts.append(f"No alarm; {', '.join(signs)}." if signs else "Entropy and agreement were not recorded.")
    if skipped:
        were = "was" if skipped == 1 else "were"
        parts.append(f"{count(skipped, 'step')} had no finite gradient and {were} skipped.")
    return Verdict(level, _TITLES[level], "", " ".join([*parts, _best(run)]))


def alarm_lines(run: Curves, most: int = 40) -> list[tuple[str, str]]:
    """When and what, the first of them."""
    lines = []
    for alarm in run.alarms[:most]:
        ended = ", the last reading" if alarm.standing else ""
        when = f"{stretch(alarm.first, alarm.last).capitalize()}{ended} ({count(alarm.readings, 'reading')})"
        lines.append((when, alarm.text))
    return lines


def at_epoch(run: Curves, step: int) -> str:
    """' (epoch 8)' to stand behind a step; nothing where the epoch is not known."""
    return "" if run.steps_per_epoch is None else f" (epoch {step / run.steps_per_epoch:.3g})"


def stretch(first: int, last: int) -> str:
    """'step 60', 'steps 60 to 1,450'."""
    return f"step {first:,}" if first == last else f"steps {first:,} to {last:,}"


def count(number: int, noun: str) -> str:
    """'1 reading', '2,000 readings'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _finished(run: Curves) -> bool:
    return run.total is not None and run.step >= run.total


def _reached(run: Curves) -> str:
    if run.total is None:
        at = at_epoch(run, run.step)
        return f"The last reading is of step {run.step:,}{at}; how long the run was to be is not known."
    epochs = run.config["epochs"]
    if _finished(run):
        return f"Finished: {count(run.total, 'step')}, {count(epochs, 'epoch')}."
    return f"Not finished: stopped, or still running, at step {run.step:,} of {run.total:,}{at_epoch(run, run.step)}."


def _judged(run: Curves) -> list[tuple[Level, str]]:
    """What is wrong with the last reading."""
    loss, bce, entropy, agreement = map(run.readings.last, ("loss", "agreement_loss", "entropy", "agreement"))
    found: list[tuple[Level, str]] = []
    good, bad = MEAN_ENTROPY
    if entropy < good:
        meaning = "most bits hardly change from image to image" if entropy < bad else "many bits are seldom 0, or 1"
        level: Level = "bad" if entropy < bad else "watch"
        found.append((level, f"The mean entropy of a bit is {entropy:.2f} of 1 in the last reading: {meaning}."))
    if run.bce and bce > FLIPPED:
        found.append(("watch", f"The BCE of the last reading is {bce:.3f}, no better than coin flips (ln 2 = 0.693)."))
    elif agreement < AGREES:
        text = f"Two views agree hardly more than by chance in the last reading ({agreement:+.2f})."
        found.append(("watch", text))
    if math.isnan(loss) and (run.readings.has("loss") or run.readings.last("skipped") > 0):
        found.append(("watch", "The last reading has no finite loss."))
    since = run.step - (run.resets[-1] if run.resets else 0)
    if found and not _finished(run) and run.steps_per_epoch and since < SETTLED * run.steps_per_epoch:
        early = f"{count(since, 'step')} after {'a head reset' if run.resets else 'the start'} that means little yet."
        return [*(("watch", text) for _, text in found), ("watch", f"Only {early}")]
    return found


def _signs(run: Curves) -> list[str]:
    """The figures of a last reading with nothing wrong."""
    bce, entropy, agreement = map(run.readings.last, ("agreement_loss", "entropy", "agreement"))
    signs = []
    if not math.isnan(entropy):
        signs.append(f"the entropy of a bit is {entropy:.2f} of 1")
    if not math.isnan(agreement):
        signs.append(f"two views agree {agreement:.2f} above chance")
    if run.bce and not math.isnan(bce):
        signs.append(f"the BCE is {bce:.3f}, under ln 2 = 0.693")
    return signs


def _best(run: Curves) -> str:
    """The best evaluation, by the figure that the config names as `best_by`, where there is one."""
    if not len(run.evaluations):
        return "It was not evaluated."
    wanted: Sequence[object] = (run.config.get("best_by"), *_BEST_BY)
    for name, words in ((n, SCORES[n]) for n in wanted if isinstance(n, str) and n in SCORES):
        best = run.evaluations.best(name)
        if best is not None:
            return f"Best {words} {number(best[0])}, at step {best[1]:,}{at_epoch(run, best[1])}."
    return "Its evaluations have no figures."
