"""All that is known of one bit, in one object."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from codelab.core.attributes import same_thing
from codelab.core.checks import check_codes
from codelab.core.codes import Codes
from codelab.core.drawing import INK, ONE, blank, template
from codelab.core.errors import DataError, UsageError
from codelab.core.formats import heading, number, ordinal, p_phrase, text_rows, with_interval
from codelab.core.result import MOST_ROWS, R, Result, Source, html_table, only
from codelab.images.cards import Card, card
from codelab.measures.bit_reuse import SPLIT
from codelab.measures.bit_usage import BitUsage, bit_usage
from codelab.measures.class_information import ClassInformation, class_information
from codelab.semantics.exemplars import Exemplars, exemplars
from codelab.semantics.signatures import ClassShares, class_shares

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

MOST_PICTURES = 16
"""Pictures on each side that a notebook shows."""

_SIDES = (("zero", "0 side"), ("threshold", "nearest the threshold"), ("one", "1 side"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class BitDescription(Result):
    """One bit: how often it is 1, its information about the class, where it stands among the bits, and images of it.

    `p` is the share of ones with its 95 % interval `low` to `high`, `entropy` in bits, `state` active, rare or dead.
    `information` I(bit; class) in bits with chance taken off, `plugin` as counted, `p_value`, `q_value` over all bits,
    `uncertainty` information / entropy: None without labels. The bit is number `rank` of all by `ranked_by`.
    `split` of `classes` classes have both values in 20 to 80 % of their images. `shares` is the share of ones in each
    class (None without labels), `exemplars` the rows of images that show the bit.

    The line quotes the share with its interval, the information with its q-value, and the rank.
    """

    bit: int
    p: float
    low: float
    high: float
    entropy: float
    state: str
    information: float | None
    plugin: float | None
    p_value: float | None
    q_value: float | None
    uncertainty: float | None
    rank: int
    ranked_by: str
    split: int | None
    classes: int | None
    shares: ClassShares | None
    exemplars: Exemplars
    cards: dict[str, tuple[Card, ...]]

    def headline(self) -> str:
        share = with_interval(self.p, self.low, self.high)
        parts = [f"bit {self.bit} is 1 in {share} of the images", f"entropy {number(self.entropy)} bit, {self.state}"]
        if self.information is not None and self.q_value is not None:
            parts.append(f"information {number(self.information)} bit ({p_phrase('q', self.q_value)})")
        bits = f" of {self.source.bits}" if self.source else ""
        return "; ".join([*parts, f"{ordinal(self.rank)}{bits} by {self.ranked_by}"])

    def to_frame(self) -> pd.DataFrame:
        """One row with the bit's figures; the tables of `shares` and `exemplars` are their own `to_frame`."""
        import pandas as pd

        lists = ("shares", "exemplars", "cards", "source", "seed")
        row = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in lists}
        return pd.DataFrame([{name: value for name, value in row.items() if value is not None}])

    def to_dict(self) -> dict[str, Any]:
        """Every field as plain JSON values, without the pictures."""
        return {name: value for name, value in super().to_dict().items() if name != "cards"}

    def _repr_html_(self) -> str:
        """The bit's figures, its share in each class, and pictures of its sides where the codes have thumbnails."""
        frame = self.to_frame()
        parts = [html_table(repr(self), [heading(str(name)) for name in frame.columns], text_rows(frame), 1)]
        parts += [_pictures(words, self.cards[side]) for side, words in _SIDES if self.cards.get(side)]
        if self.shares is not None:
            shown = self.shares.to_frame()
            headings = ["class", "images", "share of ones", heading("low"), heading("high")]
            rows = text_rows(shown.head(MOST_ROWS))
            parts.append(html_table("Share of ones in each class", headings, rows, len(shown)))
        return "".join(parts)

    def plot(self) -> go.Figure:
        """The logits of a bit over all images, and its share of ones in each class; what there is of the two."""
        from plotly.subplots import make_subplots

        parts = [self.exemplars.plot()] if self.exemplars.counts is not None else []
        parts += [self.shares.plot()] if self.shares is not None else []
        if not parts:
            figure = blank("share of images with bit = 1", "", height=150)
            spread = {"array": [self.high - self.p], "arrayminus": [self.p - self.low], "color": INK}
            figure.add_bar(x=[self.p], y=[f"bit {self.bit}"], orientation="h", marker_color=ONE, error_x=spread)
            return figure.update_xaxes(range=[0, 1.005], tickformat=".0%")
        if len(parts) == 1:
            return parts[0]
        figure = make_subplots(rows=2, row_heights=[part.layout.height for part in parts], vertical_spacing=0.2)
        for row, part in enumerate(parts, start=1):
            figure.add_traces(part.data, rows=row, cols=1)
            for axis in ("xaxis", "yaxis"):
                own = {k: v for k, v in part.layout[axis].to_plotly_json().items() if k not in ("anchor", "domain")}
                figure.layout[axis if row == 1 else f"{axis}{row}"].update(own)
            for shape in part.layout.shapes:  # the threshold, and the share of all
                figure.add_vline(shape.x0, line=shape.line.to_plotly_json(), row=row, col=1)
        figure.update_layout(template=template(), height=sum(part.layout.height for part in parts) + 40)
        figure.update_traces(selector={"orientation": "h"}, showlegend=False)
        return figure


def describe_bit(
    codes: Codes,
    bit: int,
    *,
    results: Mapping[str, Result] | None = None,
    count: int = 8,
    group: str | None = None,
    permutations: int = 200,
    seed: int = 0,
) -> BitDescription:
    """What is known of one bit: usage, information about the class, rank among the bits, class shares, exemplars.

    Args:
        codes: codes `[N, B]`; without labels there is nothing about classes.
        bit: which bit.
        results: sections of `codelab.analyze` of these codes; what they hold (`bit_usage`, `class_information`) is
            not measured again.
        count: images in each list of exemplars.
        group: item column; of each value at most one image stands in a list. Default: `emoji`, `group` or `identity`,
            where there is such a column.
        permutations: behind the p-value, where it is not in `results`.
        seed: of all chance.

    Returns:
        See `BitDescription`. The rank is by information about the class, without labels by entropy; the lower bit
        first among equals.

    Raises:
        UsageError: a bit the code does not have, or results of other codes.
        DataError: there are no codes.

    Example:
        >>> codes = Codes.from_bits([[1, 0], [1, 1], [0, 1], [0, 0]] * 5, labels=["cat", "cat", "dog", "dog"] * 5)
        >>> describe_bit(codes, 0)
        BitDescription: bit 0 is 1 in 0.500 (95 % 0.299 to 0.701) of the images; entropy 1.000 bit, active; \
information 0.961 bit (q < 0.001); 1st of 2 by information about the class, N=20, B=2
    """
    check_codes("codes", codes)
    if len(codes) == 0:
        raise DataError("describe_bit: there are no codes in this set")
    shown = exemplars(codes, bit, count=count, group=group or same_thing(codes), seed=seed)
    usage = _of(BitUsage, results, codes) or bit_usage(codes)
    information = _of(ClassInformation, results, codes) or _information(codes, permutations, seed)
    shares = class_shares(codes, bit) if codes.labelled else None
    order = usage.entropy if information is None else information.information
    low, high = SPLIT
    names = ("information", "plugin", "p_value", "q_value", "uncertainty")
    known: dict[str, Any] = {
        name: None if information is None else float(getattr(information, name)[bit]) for name in names
    }
    return BitDescription(
        source=Source.of(codes),
        seed=seed,
        bit=bit,
        **{name: float(getattr(usage, name)[bit]) for name in ("p", "low", "high", "entropy")},
        state=str(usage.state[bit]),
        **known,
        rank=int(np.flatnonzero(np.argsort(-order, kind="stable") == bit)[0]) + 1,
        ranked_by="entropy" if information is None else "information about the class",
        split=None if shares is None else int(((shares.share > low) & (shares.share < high)).sum()),
        classes=None if shares is None else len(shares.classes),
        shares=shares,
        exemplars=shown,
        cards=_cards(codes, shown),
    )


def _information(codes: Codes, permutations: int, seed: int) -> ClassInformation | None:
    try:
        return class_information(codes, permutations=permutations, seed=seed)
    except DataError:  # no labels, or too few
        return None


def _of(kind: type[R], results: Mapping[str, Result] | None, codes: Codes) -> R | None:
    """The result of one kind, which must be of these codes; None where it was not measured."""
    found = only(kind, results or {})
    if found is not None and found.source is not None and found.source.sha256 != codes.sha256:
        raise UsageError(
            f"results: {kind.__name__} was measured on other codes, expected those of SHA-256 {codes.sha256}"
        )
    return found


def _cards(codes: Codes, shown: Exemplars) -> dict[str, tuple[Card, ...]]:
    """The first images of each side, where the codes keep pictures."""
    if "thumbnail" not in codes.items.column_names:
        return {}
    return {side: tuple(card(codes, int(row)) for row in getattr(shown, side)[:MOST_PICTURES]) for side, _ in _SIDES}


def _pictures(words: str, cards: tuple[Card, ...]) -> str:
    pictures = "".join(
        f'<img src="{escape(c.picture)}" alt="{escape(c.caption)}" title="{escape(c.details)}" height="48">'
        if c.picture
        else f"<span>{escape(c.caption)} ({escape(c.missing)})</span> "
        for c in cards
    )
    return f"<p><b>{escape(words)}</b></p><div>{pictures}</div>"
