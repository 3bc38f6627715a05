"""A map as a Parquet file that Embedding Atlas opens: `embedding-atlas map.parquet --x x --y y`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from codelab.core.codes import Codes
from codelab.core.io import atomic_path
from codelab.neighbours.projection import Projection


def write_atlas(codes: Codes, found: Projection, path: str | Path) -> None:
    """Write one row an image, atomically.

    Columns: the items as they are; `class`, where there are labels; `x`, `y` (and `z`), the same of the control as
    `control_x` and so on; `image`, the bytes of the thumbnail, where there are thumbnails; `neighbours`, the rows and
    Hamming distances of the nearest other codes as `{ids, distances}`. An item column of such a name is written as
    `item.NAME`. The figures of the map are JSON under the schema key `codelab.map`.

    Args:
        codes: the codes of the map.
        found: the map.
        path: its name ends in `.parquet`.

    Source: Embedding Atlas 0.26, `embedding-atlas --help` and `EmbeddingAtlasOptions`.
    """
    own = {str(name): pa.array(values) for name, values in found.to_frame().items()}
    if codes.labelled and not codes.multilabel:
        own["class"] = pa.array([codes.classes[c] if c >= 0 else None for c in codes.labels.tolist()])
    if "thumbnail" in codes.items.column_names:
        own["image"] = codes.items["thumbnail"]
    ids, far = (_lists(values) for values in (found.neighbours, found.distances.astype(np.float32)))
    own["neighbours"] = pa.StructArray.from_arrays([ids, far], ["ids", "distances"])
    items = codes.items.drop_columns([name for name in ("thumbnail",) if name in codes.items.column_names])
    items = items.rename_columns([f"item.{name}" if name in own else name for name in items.column_names])
    for name, column in own.items():
        items = items.append_column(name, column)
    with atomic_path(path) as part:
        pq.write_table(items.replace_schema_metadata({"codelab.map": json.dumps(figures(found))}), part)


def figures(found: Projection) -> dict[str, object]:
    """What was measured, without the arrays of N."""
    large = ("coordinates", "control", "neighbours", "distances")
    small = {name: value for name, value in vars(found).items() if name not in large}
    return small | {"source": vars(found.source), "dims": found.dims}


def atlas_command(codes: Codes, path: str | Path) -> str:
    """The command that opens the file.

    Example:
        >>> atlas_command(Codes.from_bits([[1]]), "my map.parquet")
        "embedding-atlas 'my map.parquet' --x x --y y --neighbors neighbours"
    """
    image = " --image image" if "thumbnail" in codes.items.column_names else ""
    return f"embedding-atlas {shlex.quote(str(path))} --x x --y y --neighbors neighbours{image}"


def _lists(values: np.ndarray) -> pa.ListArray:
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel()))
