"""What the retrieval page searches for: a code that a person types, as bits, as hex, or as a pattern."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codelab.core.codes import Codes
from codelab.core.errors import UsageError, shortened


@dataclass(frozen=True)
class Pattern:
    """A code, and the bits of it that count: bool `[B]`."""

    code: Codes
    fixed: np.ndarray


def typed_code(words: str, bits: int) -> Pattern:
    """The code that a person typed.

    `0` and `1` are bits, bit 0 first, and `*` is a bit that does not count; a shorter pattern goes on with `*`.
    Two hex digits are a byte: as many as the code has bytes, after `0x` or not.

    Raises:
        UsageError: it is none of these, or longer than the code.

    Example:
        >>> found = typed_code("1*0", 4)
        >>> found.code.code(0).to01(), found.fixed.tolist()
        ('1000', [True, False, True, False])
        >>> typed_code("0xf0", 8).code.code(0).to01()
        '11110000'
    """
    text = "".join(words.split()).lower()
    digits = text.removeprefix("0x")
    size = -(-bits // 8)
    is_hex = len(digits) == 2 * size and set(digits) <= set("0123456789abcdef")
    if text and set(text) <= set("01*") and not (is_hex and text.startswith("0x")) and len(text) <= bits:
        padded = np.array(list(text.ljust(bits, "*")))
        return Pattern(Codes.from_bits((padded == "1")[None]), padded != "*")
    if is_hex:
        packed = np.frombuffer(bytes.fromhex(digits), np.uint8)[None]
        try:
            return Pattern(Codes.from_packed(packed, bits), np.ones(bits, dtype=bool))
        except Exception as error:
            raise UsageError(f"code {shortened(words, 40)!r}: {error}") from None
    raise UsageError(
        f"code {shortened(words, 40)!r}: expected up to {bits} of 0, 1 and *, or {2 * size} hex digits for {bits} bits"
    )


def weights_of(text: str, bits: int) -> np.ndarray | None:
    """Weights of bits from an address, `3:0 17:2.5`, all others 1; None where every bit counts once.

    Raises:
        UsageError: it is none.

    Example:
        >>> weights_of("0:0 2:2.5", 3).tolist(), weights_of("", 3)
        ([0.0, 1.0, 2.5], None)
    """
    if not text.strip():
        return None
    found = np.ones(bits)
    for part in text.split():
        bit, _, weight = part.partition(":")
        try:
            value = float(weight)
        except ValueError:
            value = -1.0
        if not (bit.isdecimal() and len(bit) < 10 and int(bit) < bits and 0 <= value < 1e6):
            raise UsageError(f"weights: found {shortened(part, 40)!r}, expected BIT:WEIGHT, such as 3:0 or 17:2.5")
        found[int(bit)] = value
    if not found.any():
        raise UsageError("weights: every bit has weight 0, expected one above 0")
    return None if (found == 1).all() else found


def weights_text(weights: np.ndarray) -> str:
    """What `weights_of` reads."""
    return " ".join(f"{bit}:{weights[bit]:g}" for bit in np.flatnonzero(weights != 1).tolist())
