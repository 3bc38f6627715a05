"""Everything that can be measured on a set of codes, section by section."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable

from codelab.classes import class_information
from codelab.codes import Codes
from codelab.entropy import ARRANGEMENTS, block_entropy
from codelab.errors import CodelabError, DataError
from codelab.geometry import geometry
from codelab.result import Result
from codelab.reuse import bit_reuse
from codelab.usage import bit_usage, degrees_of_freedom


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skipped(Result):
    """A section that could not be measured, and why, in one line."""

    reason: str


def analyze(codes: Codes, *, permutations: int = 200, seed: int = 0) -> dict[str, Result]:
    """Measure all that these codes allow.

    Args:
        codes: codes `[N, B]`; labels and features open more sections.
        permutations: behind every p-value.
        seed: of all chance.

    Returns:
        Section name -> result; `Skipped` with its reason where labels, features or items are missing. The sections:
        `bit_usage`, `block_entropy_contiguous`, `block_entropy_random`, `block_entropy_dependent`,
        `degrees_of_freedom`, `class_information`, `bit_reuse`, `geometry`.

    Raises:
        DataError: there are no codes at all.

    Example:
        >>> import numpy as np
        >>> results = analyze(Codes.from_bits(np.random.default_rng(0).integers(0, 2, (500, 16))))
        >>> [name for name, result in results.items() if isinstance(result, Skipped)]
        ['class_information', 'bit_reuse', 'geometry']
        >>> results["geometry"].reason
        'geometry: these codes have no features; export them with --features'
    """
    if len(codes) == 0:
        raise DataError("analyze: there are no codes in this set")
    sections: dict[str, Callable[[], Result]] = {"bit_usage": lambda: bit_usage(codes)}
    for blocks in ARRANGEMENTS:
        sections[f"block_entropy_{blocks}"] = lambda blocks=blocks: block_entropy(  # type: ignore[misc]
            codes, min(8, codes.bits), blocks=blocks, seed=seed
        )
    sections |= {
        "degrees_of_freedom": lambda: degrees_of_freedom(codes, seed=seed),
        "class_information": lambda: class_information(codes, permutations=permutations, seed=seed),
        "bit_reuse": lambda: bit_reuse(codes),
        "geometry": lambda: geometry(codes),
    }
    return {name: _measured(measure) for name, measure in sections.items()}


def _measured(measure: Callable[[], Result]) -> Result:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the result carries the same words in `note`
            return measure()
    except CodelabError as error:
        return Skipped(reason=str(error))
