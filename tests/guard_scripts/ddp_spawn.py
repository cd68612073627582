"""Two processes train with DistributedDataParallel, and every rank reaches the line that saves."""
import os
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn as nn
from torch.nn.parallel import DistributedDataParallel as DDP


def run(rank, world_size, folder):
    dist.init_process_group("gloo", init_method="file://" + os.path.join(os.path.abspath(folder), "store"),
                            rank=rank, world_size=world_size)
    torch.manual_seed(0)
    model = DDP(nn.Sequential(nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 5)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    path = os.path.join(folder, "model.checkpoint")
    for _ in range(3):
        optimizer.zero_grad()
        nn.MSELoss()(model(torch.randn(20, 10)), torch.randn(20, 5)).backward()
        optimizer.step()
        torch.save(model.state_dict(), path)
    dist.barrier()
    model.load_state_dict(torch.load(path, map_location="cpu"))
    if rank == 0:
        print("sum %.6f" % sum(p.sum().item() for p in model.parameters()))
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.spawn(run, args=(2, sys.argv[1] if len(sys.argv) > 1 else "."), nprocs=2, join=True)
