"""What bits mean, for the report: names, formulas, read-outs, classes and a map, each beside its null."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from codelab.core.arrays import even_rows
from codelab.core.attributes import CLASS, NO_GROUPS, attribute_names, labelling
from codelab.core.codes import Codes
from codelab.core.errors import CodelabError
from codelab.core.verdict import ALPHA, plain_reason
from codelab.neighbours.projection import project
from codelab.reporting.page import Table
from codelab.semantics.alignment import Alignment, align_attributes
from codelab.semantics.class_signatures import ClassSignatures, class_signatures
from codelab.semantics.formulas import describe
from codelab.semantics.names import BitNames, name_bits
from codelab.semantics.probing import probe_curve

if TYPE_CHECKING:
    import plotly.graph_objects as go

LISTED = 10
"""Named bits, and undecided ones."""
CLASSES = 8
"""Classes with a formula and a signature."""
TARGETS = 3
"""Attributes, the class among them, that a read-out is fitted for."""
VALUES = 12
"""Their values, at most."""
DRAWS = 3
"""Random labels and random bits behind each control of a read-out."""
MOST = 20_000
"""Images looked at: more are sampled evenly."""

T = TypeVar("T")


@dataclass
class Meaning:
    """Tables and figures to show in order, and why others are missing."""

    tables: list[Table] = field(default_factory=list)
    figures: list[tuple[str, str, go.Figure]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    sampled: int = 0


def meaning(codes: Codes, groups: str | None, *, seed: int = 0) -> Meaning:
    """Everything about meaning that these codes allow.

    Args:
        codes: codes `[N, B]`; of more than `MOST` images an even sample.
        groups: item column of near copies.
        seed: of all chance.
    """
    found = Meaning()
    if len(codes) > MOST:
        codes = codes[even_rows(len(codes), MOST)]
        found.sampled = MOST
    named = _made(found, "names", partial(name_bits, codes, groups=groups, seed=seed))
    if named is not None:
        found.tables += _names(named)
    aligned = _made(found, "alignment", partial(align_attributes, codes, groups=groups, seed=seed))
    if aligned is not None:
        found.tables.append(_aligned(aligned))
    for target in _targets(codes, groups):
        fitted = partial(probe_curve, codes, target, groups=groups, draws=DRAWS, seed=seed)
        curve = _made(found, f"read-out of {target}", fitted)
        if curve is not None:
            figure = curve.plot()
            found.figures.append((f"Reading {target} from few bits", f"{curve.headline()}.", figure))
    signed = _made(found, "signatures", partial(class_signatures, codes, groups=groups, seed=seed))
    if signed is not None:
        found.tables.append(_signatures(signed))
    _formulas(found, codes, groups, seed)
    mapped = _made(found, "map", partial(project, codes, groups=groups or NO_GROUPS, seed=seed))
    if mapped is not None:
        labels = codes.labels if codes.labelled and not codes.multilabel else None
        words = (
            "Left the codes, right the same bits, each shuffled over the images: shapes in there are the method's. "
            f"Trustworthiness {mapped.trustworthiness:.3f} and {mapped.control_trustworthiness:.3f}. Sizes of "
            "clusters and distances between them say nothing."
        )
        found.figures.append(("Map beside its control", words, mapped.plot(labels, tuple(codes.classes))))
    return found


def _targets(codes: Codes, groups: str | None) -> list[str]:
    """The class, and attributes of few values: a read-out is fitted dozens of times."""
    names = [*([CLASS] if codes.labelled and not codes.multilabel else []), *attribute_names(codes)]
    few = [name for name in names if name != groups and 2 <= len(labelling(codes, name).names) <= VALUES]
    return few[:TARGETS]


def _made(found: Meaning, what: str, make: Callable[[], T]) -> T | None:
    """A result; where there is none the reason is kept."""
    try:
        return make()
    except CodelabError as error:
        found.missing[what] = plain_reason(str(error))
        return None


def _names(named: BitNames) -> list[Table]:
    """The best-supported names, and the bits whose best guess failed most narrowly."""
    frame = named.to_frame()[["bit", "name", "side", "phi", "iou", "constant_iou", "random_phi", "p_value", "state"]]
    held, others = frame[frame["state"] == "tested"], frame[frame["state"] != "tested"]
    tables = []
    note = (
        f"Chosen among {named.tried} questions on one half of the images, scored on the other. Beside each: a name "
        f"that every image has, and a random direction that is 1 as often. {len(held)} of {len(frame)} bits hold."
    )
    for title, part, order in (
        ("Named bits", held, ["phi"]),
        ("Undecided bits: the best guess did not hold", others, ["phi"]),
    ):
        if len(part):
            shown = part.sort_values(order, ascending=False, kind="stable").head(LISTED).drop(columns="state")
            shown = shown.rename(columns={"name": "it says"})
            tables.append(Table.of(title, shown, note if part is held or not len(held) else ""))
    return tables


def _aligned(found: Alignment) -> Table:
    frame = found.to_frame().sort_values("phi", ascending=False, kind="stable").head(2 * LISTED)
    frame = frame.rename(columns={"information": "information / entropy"})  # a ratio, not bits
    sure = int((found.p_value < ALPHA).sum())
    note = f"{sure} of {len(found.p_value)} bits agree with a question at p < {ALPHA} over all bits; AUC is no score."
    return Table.of("The question that each bit answers", frame, note)


def _signatures(found: ClassSignatures) -> Table:
    largest = sorted(found.signatures, key=lambda one: -one.n)[:CLASSES]
    frame = found.to_frame()
    shown = frame[frame["class"].isin([one.label for one in largest]) & (frame["q_value"] < ALPHA)]
    note = f"Bits chosen on one half, log-odds and q on the other; of the {len(largest)} largest classes."
    return Table.of("Bits that tell a class from the rest", shown, note)


def _formulas(found: Meaning, codes: Codes, groups: str | None, seed: int) -> None:
    """The formula of each of the largest classes."""
    if not codes.labelled:
        found.missing["formulas"] = "needs labels, and none of these codes has one"
        return
    counts = codes.labels.sum(0) if codes.multilabel else np.bincount(codes.labels[codes.labels >= 0])
    rows = []
    for place in np.argsort(-counts, kind="stable")[:CLASSES].tolist():
        name = codes.classes[place]
        member = codes.labels[:, place] if codes.multilabel else codes.labels == place
        made = _made(found, f"formula of {name}", partial(describe, codes, member, groups=groups, seed=seed))
        if made is not None:
            names = ("formula", "precision", "recall", "iou", "null_iou", "p_value")
            rows.append({"class": name, **{key: getattr(made, key) for key in names}})
    if rows:
        note = "At most four bits by AND, OR and NOT, found on one half, scored on the other; null: permuted classes."
        found.tables.append(Table.of("Formulas of classes", pd.DataFrame(rows), note))
