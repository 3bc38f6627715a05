"""A run folder stands for its encoder where an encoder is expected, and for its codes where codes are expected."""

from __future__ import annotations

from pathlib import Path

from codelab.core.errors import UsageError

ENCODER = "encoder.safetensors"
CODES = "codes.parquet"
CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.jsonl"


def is_run_folder(path: str | Path) -> bool:
    """Whether this folder holds any file that `codelab train` writes; a folder of codes in parts does not."""
    return any(Path(path, name).is_file() for name in (METRICS, ENCODER, CHECKPOINT))


def encoder_file(path: str | Path) -> Path:
    """The file of the encoder that a path names: the path itself, or `encoder.safetensors` in a folder.

    Raises:
        UsageError: the folder has no encoder.

    Example:
        >>> encoder_file("runs/demo/best.safetensors").as_posix()
        'runs/demo/best.safetensors'
    """
    path = Path(path)
    if not path.is_dir():
        return path
    if (path / ENCODER).is_file():
        return path / ENCODER
    if is_run_folder(path):
        raise UsageError(f"{path}: no {ENCODER} yet, the run has not ended; go on with codelab train --resume")
    raise UsageError(f"{path}: a folder without {ENCODER}, expected the file of an encoder or a run folder")


def codes_file(path: str | Path) -> Path:
    """The file or folder of the codes that a path names: the path itself, or `codes.parquet` in a run folder.

    Raises:
        UsageError: a run folder without codes, or a folder that is no run and holds no .parquet files.

    Example:
        >>> codes_file("codes.parquet").as_posix()
        'codes.parquet'
    """
    path = Path(path)
    if not path.is_dir():
        return path
    if is_run_folder(path):
        if (path / CODES).is_file():
            return path / CODES
        raise UsageError(
            f"{path}: a run without codes, no {CODES} in it; "
            f"make them with codelab export --ckpt {path} --data IMAGES --out {path / CODES}"
        )
    if not any(path.glob("*.parquet")):
        raise UsageError(f"{path}: a folder without {CODES} or other .parquet files, expected codes or a run folder")
    return path
