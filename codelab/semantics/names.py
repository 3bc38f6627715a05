"""Names of bits, each with its score on images that did not choose it, and a ledger of guesses."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from codelab.core.attributes import Groups
from codelab.core.checks import check_codes
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.io import atomic_path
from codelab.core.result import Result, Source
from codelab.semantics.alignment import Alignment, align
from codelab.semantics.signatures import bit_values
from codelab.semantics.targets import ClassGroups, Targets, targets

if TYPE_CHECKING:
    import pandas as pd

State = Literal["guess", "tested", "rejected"]
Propose = Callable[[Codes], Mapping[str, np.ndarray]]
"""From codes to names and, for each image, whether it has them (bool `[N]`) or how much (float `[N]`; above the median
counts as yes): a text-image model, captions, a person's labels."""

_NAN: Any = float("nan")  # JSON has none: it is null there

LEVEL = 0.05
"""A name whose p-value is below this, and that beats both controls, is tested; another is rejected."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BitName:
    """A name of one bit, with its score on images that did not choose it.

    `side` is the value of the bit that the name stands for. `phi` and `iou` are on the held-out half. `constant_iou`
    is the IoU of a name that every image has; `random_phi` the phi, with its own best name, of a random direction of
    the same features cut so that as many images are 1 (NaN without features). `p_value` is over all bits.
    `state` is `tested` where p < .05 and the name beats both, else `rejected`; `guess` is for names of people that
    have not been scored.
    """

    bit: int
    name: str
    side: int
    state: State
    phi: float
    iou: float
    constant_iou: float
    random_phi: float
    p_value: float
    author: str
    date: str
    codes_sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class BitNames(Result):
    """The best name of each bit. A bit whose name is rejected stays unnamed.

    The line quotes how many bits have a name that held on other images.
    """

    names: tuple[BitName, ...]
    tried: int
    groups: int | None
    permutations: int
    estimator: str = "chosen on one half, scored on the other; the p-value is over all bits"

    @property
    def bits(self) -> dict[str, int]:
        """The bit of each tested name, the best where a name has several: what `Codes.where` takes."""
        found: dict[str, int] = {}
        for one in sorted(self.names, key=lambda one: -one.phi):
            if one.state == "tested":
                found.setdefault(one.name if one.side else f"not {one.name}", one.bit)
        return found

    def headline(self) -> str:
        tested = sorted((one for one in self.names if one.state == "tested"), key=lambda one: -one.phi)
        found = f"{len(tested)} of {len(self.names)} bits have a name that held on other images"
        return found + (f"; bit {tested[0].bit}: {tested[0].name}, phi {tested[0].phi:.3f}" if tested else "")

    def to_frame(self) -> pd.DataFrame:
        """One row a bit."""
        import pandas as pd

        return pd.DataFrame([dataclasses.asdict(one) for one in self.names])


def name_bits(
    codes: Codes,
    attributes: Sequence[str] | None = None,
    *,
    propose: Propose | None = None,
    class_groups: ClassGroups = None,
    groups: Groups = None,
    permutations: int = 200,
    author: str = "codelab",
    seed: int = 0,
) -> BitNames:
    """The name that each bit agrees with best, from class, attributes, image statistics, and a model of the user's.

    Args:
        codes: codes `[N, B]`.
        attributes: the columns whose values are names; default: all, and the image statistics; empty for none.
        propose: more names, such as those of a text-image model: see `Propose` and the documentation for an example.
        class_groups: more names, those of groups of classes, as in `align_attributes`.
        groups: an item column or one value an image; images of one group are near copies: they are in one half, and
            are permuted as a whole.
        permutations: behind the p-values.
        author: who stands in the ledger.
        seed: of the halves and the permutations.

    Raises:
        UsageError: no such column, or names that are not one value an image.
        DataError: no names, or too few images (groups) for two halves.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> tone, noise = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
        >>> codes = Codes.from_bits(np.stack([tone, noise], 1), items={"tone": np.array(["dark", "light"])[tone]})
        >>> found = name_bits(codes)
        >>> [(one.bit, one.name, one.side, one.state) for one in found.names][0], found.names[1].state
        ((0, 'tone = dark', 0, 'tested'), 'rejected')
        >>> found.bits, bool(codes.where('"not tone = dark"', found.bits).count() == (tone == 0).sum())
        ({'not tone = dark': 0}, False)
    """
    check_codes("codes", codes)
    found = align(codes, _asked(codes, attributes, propose, class_groups), "name_bits", groups, permutations, seed)
    return BitNames(
        source=Source.of(codes),
        seed=seed,
        names=_named(codes, found, range(codes.bits), author),
        tried=len(found.targets),
        groups=found.groups,
        permutations=permutations,
    )


def score_name(
    codes: Codes,
    bit: int,
    name: str,
    *,
    class_groups: ClassGroups = None,
    groups: Groups = None,
    permutations: int = 200,
    author: str = "",
    seed: int = 0,
) -> BitName:
    """A person's guess of what one bit says, scored on the half of the images that did not choose the bit's side.

    The p-value is of this guess alone. It takes no account of what the person saw before, nor of other guesses.

    Args:
        codes: codes `[N, B]`.
        bit: which bit.
        name: the question that it answers, as `targets` and the columns of `align_attributes` name it: `class = cat`.
        class_groups, groups, permutations, seed: as in `name_bits`.
        author: who stands in the ledger.

    Raises:
        UsageError: a bit the code does not have, a question that its items do not answer, or no such column.
        DataError: too few images (groups) for two halves.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> tone, noise = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
        >>> codes = Codes.from_bits(np.stack([tone, noise], 1), items={"tone": np.array(["dark", "light"])[tone]})
        >>> [score_name(codes, b, "tone = light").state for b in (0, 1)]
        ['tested', 'rejected']
    """
    check_codes("codes", codes)
    found = targets(codes, class_groups=class_groups)
    if name not in found.names:
        near = get_close_matches(str(name), found.names, n=1, cutoff=0.0)[0]
        raise UsageError(
            f"name {name!r}: no class, attribute value or statistic of these items; the nearest is {near!r}"
        )
    place = found.names.index(name)
    asked = Targets(found.has[:, [place]], (name,), (found.columns[place],))
    return _named(
        codes, align(codes.select_bits([bit]), asked, "score_name", groups, permutations, seed), [bit], author
    )[0]


def _named(codes: Codes, found: Alignment, bits: Sequence[int], author: str) -> tuple[BitName, ...]:
    """The questions that bits agree with as their names, each with what it must beat."""
    ones = np.array([bit_values(codes, bit).mean() for bit in bits])
    constant = np.where(found.side == 1, ones, 1 - ones)
    random = found.random_phi if len(found.random_phi) else np.full(len(bits), np.nan)
    holds = (found.p_value < LEVEL) & (found.iou > constant) & ~(found.phi <= random)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return tuple(
        BitName(
            bit=bit,
            name=str(found.target[i]),
            side=int(found.side[i]),
            state="tested" if holds[i] else "rejected",
            phi=float(found.phi[i]),
            iou=float(found.iou[i]),
            constant_iou=float(constant[i]),
            random_phi=float(random[i]),
            p_value=float(found.p_value[i]),
            author=author,
            date=today,
            codes_sha256=codes.sha256,
        )
        for i, bit in enumerate(bits)
    )


def _asked(
    codes: Codes, attributes: Sequence[str] | None, propose: Propose | None, class_groups: ClassGroups
) -> Targets:
    """The names to choose from, as questions."""
    some = attributes is None or len(attributes) or class_groups is not None
    found = targets(codes, attributes, class_groups=class_groups) if some else None
    words, has = [] if found is None else list(found.names), [] if found is None else list(found.has.T)
    proposed: Any = {} if propose is None else propose(codes) if callable(propose) else None
    if not isinstance(proposed, Mapping):
        raise UsageError("propose: expected a function from codes to a dict of names and one value an image")
    for name, values in proposed.items():
        values = np.asarray(values)
        if values.shape != (len(codes),):
            raise UsageError(f"propose: {name!r} has shape {list(values.shape)}, expected [{len(codes)}]")
        if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
            raise UsageError(f"propose: {name!r} has values of {values.dtype}, expected bool or finite numbers")
        words.append(str(name))
        has.append(values if values.dtype == bool else values > np.median(values))
    if not words:
        raise DataError("name_bits: no names to choose from; give attributes or propose")
    return Targets(np.stack(has, axis=1), tuple(words), tuple(words))


def read_ledger(path: str | Path) -> tuple[BitName, ...]:
    """All names that a ledger holds, in the order they were added; none where there is no such file.

    Raises:
        DataError: the file is not a ledger.
    """
    path = Path(path)
    if not path.exists():
        return ()
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["names"]
        given = [{k: _NAN if v is None else v for k, v in row.items()} for row in rows]
        found = tuple(BitName(**row) for row in given)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(f"{path}: not a ledger of names: expected JSON with a list 'names'") from None
    for one in found:
        if one.state not in get_args(State):
            raise DataError(f"{path}: state {one.state!r}, expected {', '.join(get_args(State))}")
    return found


def write_ledger(path: str | Path, names: Sequence[BitName]) -> None:
    """Add names to a ledger, a JSON file beside the codes, whole or not at all; what it holds stays.

    Example:
        >>> import tempfile
        >>> guess = BitName(
        ...     bit=3, name="people", side=1, state="guess", phi=0.5, iou=0.4, constant_iou=0.3, random_phi=0.2,
        ...     p_value=0.01, author="Ada", date="2026-11-25", codes_sha256="")
        >>> path = Path(tempfile.mkdtemp(), "codes.names.json")
        >>> write_ledger(path, [guess])
        >>> read_ledger(path) == (guess,)
        True
    """
    every = [*read_ledger(path), *names]
    rows = [{k: None if v != v else v for k, v in dataclasses.asdict(one).items()} for one in every]
    with atomic_path(path) as part:
        part.write_text(json.dumps({"names": rows}, indent=1, allow_nan=False), encoding="utf-8")
