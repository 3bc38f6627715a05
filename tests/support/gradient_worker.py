"""Under torchrun: the loss, its terms and the gradient of one batch, for many configs in one start.

torchrun --nproc-per-node 2 tests/support/gradient_worker.py configs.json out.safetensors
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from codelab.images.sources import open_images
from training import distributed
from training.config import TrainConfig
from training.data import Data
from training.trainer import Run


def main():
    configs = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    device = torch.device("cpu")
    distributed.start(device)
    found = {}
    for name, values in configs.items():
        config = TrainConfig(**values)
        run = Run(config, Data(open_images(config.data), config, device, show=False))
        run.prepare()
        for batch in run.data.steps(0, 2):  # the second step tells whether the first one's update was the same
            run.train_step(0, batch)
        terms = run.backward(0, batch).terms
        terms = distributed.mean(torch.stack([terms.loss, terms.agreement, terms.rate]).detach())
        found[f"{name}/terms"] = terms
        found[f"{name}/centre"] = run.objective.centre.clone()
        for key, parameter in run.student.named_parameters():
            found[f"{name}/gradient/{key}"] = parameter.grad.clone()
        for key, parameter in run.teacher.named_parameters():
            found[f"{name}/teacher/{key}"] = parameter.clone()
    if distributed.rank() == 0:
        save_file({k: v.contiguous() for k, v in found.items()}, sys.argv[2])
    distributed.wait()
    distributed.stop()


if __name__ == "__main__":
    main()
