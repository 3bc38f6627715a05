"""The loss, its terms and the gradient of one batch, for many configs, by 1, 2 and 4 processes.

python tests/support/gradient_worker.py folder

The processes are forks of this one, which has imported everything; they find each other as those of torchrun do.
`folder/N.json` has the configs, by name, that N processes compute; `folder/N.safetensors` is what they found.
"""

import json
import os
import socket
import sys
from pathlib import Path

import timm  # noqa: F401  (before the forks)
import torch
from safetensors.torch import save_file
from torch.multiprocessing import start_processes

from codelab.images.sources import open_images
from training import distributed
from training.config import TrainConfig
from training.data import Data
from training.trainer import Run


def main():
    torch.set_num_threads(1)
    for configs in sorted(Path(sys.argv[1]).glob("*.json")):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        processes = int(configs.stem)
        start_processes(compute, (configs, processes), nprocs=processes, start_method="fork")


def compute(rank, path, processes):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
    configs = json.loads(path.read_text())
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
        save_file({k: v.contiguous() for k, v in found.items()}, path.with_suffix(".safetensors"))
    distributed.wait()
    distributed.stop()


if __name__ == "__main__":
    main()
