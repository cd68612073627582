"""A training loop that saves after every epoch and resumes where it was."""
import argparse
import os

import torch
import torch.nn as nn
import torch.nn.functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--lr", type=float, default=0.05)
parser.add_argument("--width", type=int, default=16)
parser.add_argument("--out", default="checkpoint.pth")


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(8, width)
        self.drop = nn.Dropout(0.2)
        self.fc2 = nn.Linear(width, 3)

    def forward(self, x):
        return self.fc2(self.drop(F.relu(self.fc1(x))))


def main():
    args = parser.parse_args()
    torch.manual_seed(0)
    model = Net(args.width)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    data, target = torch.randn(64, 8), torch.randint(0, 3, (64,))
    start = 0
    if os.path.isfile(args.out):
        checkpoint = torch.load(args.out)
        start = checkpoint["epoch"]
        model.load_state_dict(checkpoint["state_dict"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        print("=> loaded checkpoint '{}' (epoch {})".format(args.out, start))
    for epoch in range(start, args.epochs):
        for batch in torch.randperm(64).split(16):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(data[batch]), target[batch])
            loss.backward()
            optimizer.step()
        torch.save({"epoch": epoch + 1, "state_dict": model.state_dict(), "optimizer": optimizer.state_dict()}, args.out)
    print("last loss {:.6f}, {:.6f}".format(loss.item() if start < args.epochs else 0, torch.rand(1).item()))


if __name__ == "__main__":
    main()
