# A small GAN: two networks, saved each in a file of its own, to file objects as well.
import os
import torch
import torch.nn as nn
from torch import optim

torch.manual_seed(999)
nz, ngf = 4, 8
netG = nn.Sequential(nn.Linear(nz, ngf), nn.BatchNorm1d(ngf), nn.ReLU(True), nn.Linear(ngf, 2), nn.Tanh())
netD = nn.Sequential(nn.Linear(2, ngf), nn.LeakyReLU(0.2, inplace=True), nn.Linear(ngf, 1), nn.Sigmoid())
criterion = nn.BCELoss()
optimizerD = optim.Adam(netD.parameters(), lr=0.0002, betas=(0.5, 0.999))
optimizerG = optim.Adam(netG.parameters(), lr=0.0002, betas=(0.5, 0.999))
os.makedirs("out", exist_ok=True)

for epoch in range(3):
    real, noise = torch.randn(16, 2), torch.randn(16, nz)
    netD.zero_grad()
    errD = criterion(netD(real), torch.ones(16, 1)) + criterion(netD(netG(noise).detach()), torch.zeros(16, 1))
    errD.backward()
    optimizerD.step()
    netG.zero_grad()
    errG = criterion(netD(netG(noise)), torch.ones(16, 1))
    errG.backward()
    optimizerG.step()
    print("[%d/3] Loss_D: %.6f Loss_G: %.6f" % (epoch, errD.item(), errG.item()))
    torch.save(netG.state_dict(), "out/netG_epoch_%d.pth" % epoch)
    torch.save(netD.state_dict(), "out/netD_epoch_%d.pth" % epoch, _use_new_zipfile_serialization=False)
    with open("out/latest.pth", "wb") as f:
        torch.save({"G": netG.state_dict(), "D": netD.state_dict()}, f)

netG.load_state_dict(torch.load("out/netG_epoch_2.pth"))
netD.load_state_dict(torch.load("out/netD_epoch_2.pth", weights_only=True))
both = torch.load("out/latest.pth")
netG.load_state_dict(both["G"])
print("done %.6f" % torch.rand(1).item())
