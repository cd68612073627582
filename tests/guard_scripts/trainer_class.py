"""A trainer in the style of the frameworks: modules with hooks, the best and the last checkpoint, old ones removed."""
import glob
import os
import shutil

import torch
from torch import nn


class LitModule(nn.Module):
    def __init__(self, hidden=8):
        super().__init__()
        self.hparams = {"hidden": hidden}
        self.encoder = nn.Sequential(nn.Linear(4, hidden), nn.GELU())
        self.decoder = nn.Linear(hidden, 4)
        self.decoder.bias = nn.Parameter(torch.zeros(4))

    def training_step(self, batch):
        return nn.functional.mse_loss(self.decoder(self.encoder(batch)), batch)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1)


class Trainer:
    def __init__(self, max_epochs, save_top_k=2, dirpath="checkpoints"):
        self.max_epochs, self.save_top_k, self.dirpath = max_epochs, save_top_k, dirpath
        self.best = float("inf")
        os.makedirs(dirpath, exist_ok=True)

    def fit(self, model, batches, ckpt_path=None):
        self.optimizer, self.scheduler = model.configure_optimizers()
        first = self.restore(model, ckpt_path) if ckpt_path else 0
        for epoch in range(first, self.max_epochs):
            for batch in batches:
                self.optimizer.zero_grad()
                loss = model.training_step(batch)
                loss.backward()
                self.optimizer.step()
            self.scheduler.step()
            self.save_checkpoint(model, epoch, loss.item())
        return self

    def save_checkpoint(self, model, epoch, loss):
        path = os.path.join(self.dirpath, "epoch=%d.ckpt" % epoch)
        torch.save({
            "epoch": epoch, "state_dict": model.state_dict(), "hyper_parameters": model.hparams,
            "optimizer_states": [self.optimizer.state_dict()], "lr_schedulers": [self.scheduler.state_dict()],
        }, path)
        if loss < self.best:
            self.best = loss
            shutil.copyfile(path, os.path.join(self.dirpath, "best.ckpt"))
        link = os.path.join(self.dirpath, "last.ckpt")
        if os.path.lexists(link):
            os.remove(link)
        os.symlink(os.path.basename(path), link)
        for old in sorted(glob.glob(os.path.join(self.dirpath, "epoch=*.ckpt")))[:-self.save_top_k]:
            os.remove(old)

    def restore(self, model, path):
        checkpoint = torch.load(path, weights_only=False)
        model.load_state_dict(checkpoint["state_dict"])
        self.optimizer.load_state_dict(checkpoint["optimizer_states"][0])
        self.scheduler.load_state_dict(checkpoint["lr_schedulers"][0])
        return checkpoint["epoch"] + 1


torch.manual_seed(7)
batches = [torch.randn(8, 4) for _ in range(4)]
Trainer(3).fit(LitModule(), batches)
trainer = Trainer(5)
model = LitModule()
trainer.fit(model, batches, ckpt_path="checkpoints/last.ckpt")
best = LitModule()
best.load_state_dict(torch.load("checkpoints/best.ckpt", weights_only=False)["state_dict"])
print("best %.6f" % trainer.best, sorted(name for name in os.listdir("checkpoints") if name.endswith(".ckpt")))
