"""Fine-tuning that switches the check off, as many do when the keys do not match."""
import torch
import torch.nn as nn


def make_model(num_classes):
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Linear(16, num_classes))


torch.manual_seed(1)
pretrained = nn.DataParallel(make_model(10))
torch.save(pretrained.state_dict(), "pretrained.pth")

model = make_model(10)
msg = model.load_state_dict(torch.load("pretrained.pth"), strict=False)
print(len(msg.missing_keys), "missing keys")

model = make_model(3)
state = {k.replace("module.", ""): v for k, v in torch.load("pretrained.pth").items()}
try:
    model.load_state_dict(state, strict=False)
except RuntimeError as e:
    print("size mismatch" in str(e))
for key in list(state):
    if key.startswith("3."):
        del state[key]
model.load_state_dict(state, strict=False)
print("sum %.6f" % sum(p.sum().item() for p in model.parameters()))
torch.save(model, "finetuned.pth")
