"""The rows of a scorecard: the codes given, and controls made from the same images and features."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from codelab.core.attributes import CLASS, labelling
from codelab.core.bits import pack_bits
from codelab.core.codes import Codes
from codelab.core.errors import DataError
from codelab.features.binariser import binarize
from codelab.scoring.filed import Filed
from codelab.scoring.setting import Setting
from codelab.statistics.exchange import shuffled_rows

DRAWS = 5
"""Codes of random directions: their spread stands in for that of a method with one file."""

ROWS = 1 << 15
"""Images whose oracle is unpacked at a time."""

UNTRAINED, RANDOM, PCA, ITQ = "untrained encoder", "random directions", "PCA + rotation", "ITQ"
MATCHED, PERMUTED, ORACLE = "density-matched random bits", "permuted rows", "oracle"
CONTROLS = (UNTRAINED, RANDOM, PCA, ITQ, MATCHED, PERMUTED, ORACLE)


@dataclass(frozen=True, eq=False)
class Row:
    """One row: codes of one method.

    Args:
        name: in the table.
        how: how its codes were made, a sentence.
        given: by the caller; otherwise a control.
        keys: a content hash for each of its codes that is measured.
        make: the codes of that number; raises CodelabError where they cannot be made. The number that follows the last
            one is a code of another seed, where the method has seeds.
        learnt: its codes would be others with another seed, so that one file leaves their spread unknown.
    """

    name: str
    how: str
    given: bool
    keys: tuple[str, ...]
    make: Callable[[int], Codes | Filed]
    learnt: bool


def rows_of(
    setting: Setting, methods: Mapping[str, Sequence[Codes | Filed]], untrained: Codes | Filed | None
) -> list[Row]:
    """All rows: the methods given, the untrained encoder where there are its codes, and the controls."""
    found = [_from_codes(setting, name, codes, given=True) for name, codes in methods.items()]
    if untrained is not None:
        found.append(_from_codes(setting, UNTRAINED, [untrained], given=False))
    bits = next(iter(methods.values()))[0].bits  # those in a file are not among the images
    return [*found, *_of_features(setting, bits), *_by_chance(setting), _oracle(setting)]


def _from_codes(setting: Setting, name: str, codes: Sequence[Codes | Filed], *, given: bool) -> Row:
    how = "the codes given" if given else "the same network before training, its head drawn at random"
    if len(codes) > 1:
        how += f", {len(codes)} files of one method: means"
    keys = tuple(_content(one) for one in codes)
    own = [
        dataclasses.replace(one, images=setting.codes)
        if isinstance(one, Filed)
        else setting.with_bits(one.packed, one.bits)
        for one in codes
    ]
    return Row(name, how, given, keys, lambda number: own[number], learnt=True)


def _content(codes: Codes | Filed) -> str:
    """SHA-256 of the bits alone: labels and items are those of the first codes."""
    if isinstance(codes, Filed):
        return codes.sha256
    return hashlib.sha256(f"{codes.bits} ".encode() + codes.packed.tobytes()).hexdigest()


def _of_features(setting: Setting, bits: int) -> list[Row]:
    """Codes that are made from the features, fitted without labels on the same images."""
    kinds = (
        (RANDOM, "lsh", DRAWS, f"signs of {bits} random directions of the features, centred; mean of {DRAWS} codes"),
        (
            PCA,
            "pca-rotation",
            1,
            "leading principal components of the features, rotated at random; signs",
        ),
        (ITQ, "itq", 1, "the same, rotated so that the signs lose least (Gong & Lazebnik 2011)"),
    )
    same = "fitted without labels on the images it is scored on"
    return [
        _control(setting, name, f"{how}; {same}", draws, _Signs(setting, method), learnt=True)
        for name, method, draws, how in kinds
    ]


@dataclass(frozen=True, eq=False)
class _Signs:
    """Packed codes of a binariser of the features, a seed each."""

    setting: Setting
    method: str

    def __call__(self, number: int) -> tuple[np.ndarray, int]:
        features, bits = self.setting.codes.features, self.setting.codes.bits
        if features is None:
            raise DataError("these codes have no features; export them with --features")
        seed = self.setting.seed + number
        fitted = binarize(features, bits, method=self.method, seed=seed, progress=False)
        return fitted.encode(features), bits


def _by_chance(setting: Setting) -> list[Row]:
    """Codes that know nothing of the images."""
    codes = setting.codes
    shares = codes.to_bits().mean(axis=0)

    def random(number: int) -> tuple[np.ndarray, int]:
        generator = np.random.default_rng([setting.seed, 1, number])
        return pack_bits(generator.random((len(codes), codes.bits), dtype=np.float32) < shares), codes.bits

    def permuted(number: int) -> tuple[np.ndarray, int]:
        generator = np.random.default_rng([setting.seed, 2, number])
        unit = np.arange(len(codes)) if setting.unit is None else setting.unit
        return codes.packed[shuffled_rows(unit, generator)], codes.bits

    matched = "independent random bits, each 1 as often as in the first codes"
    whole = "the first codes, dealt to other images" + ("" if setting.unit is None else ", whole groups at once")
    return [
        _control(setting, MATCHED, matched, 1, random, learnt=False),
        _control(setting, PERMUTED, whole, 1, permuted, learnt=False),
    ]


def _oracle(setting: Setting) -> Row:
    """The class and the attributes themselves, a bit for each value."""

    def one_hot(number: int) -> tuple[np.ndarray, int]:
        codes = setting.codes
        names = [*([CLASS] if codes.labelled and not codes.multilabel else []), *setting.attributes]
        found = [labelling(codes, name) for name in names]
        if not found and not codes.multilabel:
            raise DataError("these codes have no labels and no attributes")

        def bits(rows: slice) -> np.ndarray:
            columns = [codes.labels[rows]] if codes.multilabel else []
            columns += [one.labels[rows, None] == np.arange(len(one.names)) for one in found]
            return np.concatenate(columns, axis=1)

        packed = [pack_bits(bits(slice(start, start + ROWS))) for start in range(0, len(codes), ROWS)]
        return np.concatenate(packed), bits(slice(0, 0)).shape[1]

    how = "the class and the attributes themselves, a bit for each value: what a perfect code would have"
    return _control(setting, ORACLE, how, 1, one_hot, learnt=False)


def _control(
    setting: Setting, name: str, how: str, draws: int, make: Callable[[int], tuple[np.ndarray, int]], *, learnt: bool
) -> Row:
    """A row whose codes are made when they are first needed."""

    @cache
    def codes(number: int) -> Codes:
        packed, bits = make(number)
        return setting.with_bits(packed, bits)

    first = _content(setting.codes)
    keys = tuple(f"{name} {number} of {first}" for number in range(draws))
    return Row(name, how, False, keys, codes, learnt)
