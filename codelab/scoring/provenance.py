"""Where a scorecard comes from: version, commit, content of the codes, seeds, options."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codelab import __version__
from codelab.core.codes import Codes
from codelab.scoring.filed import Filed
from codelab.scoring.rows import UNTRAINED
from codelab.scoring.setting import Setting


def provenance(
    setting: Setting, methods: Mapping[str, Sequence[Codes | Filed]], untrained: Codes | Filed | None
) -> dict[str, Any]:
    """What is needed to make the same numbers again, as plain values."""
    codes = [(name, one) for name, several in methods.items() for one in several]
    if untrained is not None:
        codes.append((UNTRAINED, untrained))
    return {
        "version": __version__,
        "commit": commit(),
        "codes": [
            {"row": name, "sha256": one.sha256, "images": len(one), "bits": one.bits, "made": one.meta.get("encoder")}
            for name, one in codes
        ],
        "features_sha256": setting.features_key or None,
        "attributes": list(setting.attributes),
        "groups": None if setting.unit is None else int(setting.unit.max()) + 1,
        "seed": setting.seed,
        "parts": int(setting.part.max()) + 1,
        "sampled_images": len(setting.rows),
    }


def commit() -> str | None:
    """The commit of the checkout that this package is run from, with `+ changes` where files differ; None outside."""
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    top = git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root:  # installed into an environment inside another checkout
        return None
    found = git("rev-parse", "HEAD")
    return f"{found} + changes" if found and git("status", "--porcelain", "--untracked-files=no") else found
