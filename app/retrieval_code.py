"""The Python lines that search as the retrieval page does."""

from __future__ import annotations

import numpy as np

from codelab.core.codes import Codes


def item_lines(item: str) -> str:
    """Lines that make the query of one of the codes."""
    return f'row = codes.items["id"].to_pylist().index({item!r})\nquery = codes[[row]]'


def code_lines(code: Codes) -> str:
    """Lines that make the query of a code."""
    digits = code.packed[0].tobytes().hex()
    return f'packed = np.frombuffer(bytes.fromhex("{digits}"), np.uint8)[None]\n' + (
        f"query = codelab.Codes.from_packed(packed, {code.bits})"
    )


def image_lines(name: str, encoder: str) -> str:
    """Lines that make the query of a file that a person brings."""
    return f"""
from pathlib import Path

from codelab.images.imageset import decode

encoder = codelab.Encoder.load({encoder!r})
image = decode(Path({name!r}).read_bytes(), {name!r})
features, logits = encoder.encode(encoder.transform(image)[None])
query = codelab.Codes.from_logits(logits, features=features)
""".strip()


def search_lines(
    query: str,
    k: int,
    *,
    is_item: bool,
    group: str | None,
    weights: np.ndarray | None,
    rescore: str | None,
    oversample: int,
) -> str:
    """Lines that search and show rows and distances.

    Args:
        query: the lines that make `query`, and `row` where it is one of the codes.
        k: how many are shown.
        is_item: it is one of the codes, and left out.
        group: the attribute by which others are left out with it; None for no others.
        weights: of each bit, float `[B]`; None where all count once.
        rescore, oversample: as in `codelab.search`.
    """
    lines, size, options = [query], str(k), ""
    if is_item:
        size = f"{k} + len(left_out)"
        if group is None:
            lines.append("left_out = {row}")
        else:
            lines.append(f"group = codes.items[{group!r}].to_pylist()")
            lines.append("left_out = {i for i, value in enumerate(group) if i == row or value == group[row]}")
    if weights is not None:
        lines.append(f"weights = np.array({[float(weight) for weight in weights]})")
        options += ", weights=weights"
    if rescore is not None:
        many = f"({oversample} * {k} + len(left_out)) / ({size})" if is_item else str(oversample)
        options += f", rescore={rescore!r}, oversample={many}"
    lines.append(f"found = codelab.search(codes, query, k={size}{options})")
    if is_item:
        lines.append("stay = ~np.isin(found.indices[0], list(left_out))")
    names = ("indices", "distances") if rescore is None else ("indices", "distances", "rescored")
    lines.append(", ".join(f"found.{name}[0]{f'[stay][:{k}]' if is_item else ''}" for name in names))
    return "\n".join(lines)
