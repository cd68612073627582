"""What real processes of a sharded training run save, each for itself, is one checkpoint to intact."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import intact

WRITER = '''
"""Two processes wrap one model in FSDP1 and FSDP2, and save what they have as people do."""
import sys
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

warnings.simplefilter("ignore")


def work(rank, world, folder, store):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FullyShardedDataParallel as FSDP, StateDictType, fully_shard
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy

    from model_of_the_run import Block, Net

    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    for name, orig in (("flat", False), ("original", True)):
        torch.manual_seed(0)
        net = Net()
        if rank == 0:
            torch.save(net.state_dict(), folder / "full.pth")
        wrapped = FSDP(net, auto_wrap_policy=ModuleWrapPolicy({Block}), use_orig_params=orig, device_id=torch.device("cpu"))
        with FSDP.state_dict_type(wrapped, StateDictType.LOCAL_STATE_DICT):
            torch.save({"model": wrapped.state_dict(), "iteration": 7}, folder / name / f"model.rank_{rank}.pth")
        if not orig:
            flat = {key: value.detach() for key, value in wrapped.named_parameters()}
            torch.save(flat, folder / "cut" / f"part_{rank}.pth")
    torch.manual_seed(0)
    net, mesh = Net(), init_device_mesh("cpu", (world,))
    for block in net.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(net, mesh=mesh)
    torch.save(net.state_dict(), folder / "dtensor" / f"model_world_size_{world}_rank_{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    mp.spawn(work, (2, folder, folder / "store"), nprocs=2)
'''

MODEL = '''
"""A model with nested blocks, odd sizes, buffers and a tied head."""
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.fc, self.bn = nn.LayerNorm(width), nn.Linear(width, width), nn.BatchNorm1d(width)


class Net(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.emb = nn.Embedding(11, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(3))
        self.mid = nn.Linear(width, width)
        self.head = nn.Linear(width, 5)
'''

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed part")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a run of two processes."""
    folder = tmp_path_factory.mktemp("run")
    for name in ("flat", "original", "cut", "dtensor"):
        (folder / name).mkdir()
    (folder / "model_of_the_run.py").write_text(MODEL, "utf-8")
    (folder / "writer.py").write_text(WRITER, "utf-8")
    done = subprocess.run(
        [sys.executable, str(folder / "writer.py"), str(folder)], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def net(run: Path) -> nn.Module:
    """Returns the model of the run with other values."""
    scope: dict[str, type[nn.Module]] = {}
    exec((run / "model_of_the_run.py").read_text("utf-8"), scope)
    return scope["Net"]()


def assert_full(model: nn.Module, run: Path) -> None:
    """Asserts that a model holds what the processes held together."""
    full = torch.load(run / "full.pth")
    assert all(torch.equal(value, full[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("one", [False, True])
def test_tensors_cut_over_processes_are_put_together(run: Path, one: bool) -> None:
    """The folder, or any of its files."""
    path = run / "dtensor" / "model_world_size_2_rank_1.pt" if one else run / "dtensor"
    model = net(run)
    report = intact.check(path, model)
    assert report.verdict == "repairable"
    assert [finding.code for finding in report.findings] == ["file/missing-shard"]
    assert report.source.files == ("model_world_size_2_rank_0.pt", "model_world_size_2_rank_1.pt")
    intact.load_into(model, path)
    assert_full(model, run)


@pytest.mark.parametrize(("name", "allow"), [("flat", ()), ("original", ("arch/flattened",))])
def test_flat_parameters_cut_over_processes_are_put_together_and_taken_apart(
    run: Path, name: str, allow: tuple[str, ...]
) -> None:
    """Where the original parameters are kept, the ends are filled up, which no file says."""
    model = net(run)
    report = intact.check(run / name, model)
    assert {"file/missing-shard", "arch/flattened"} <= {finding.code for finding in report.findings}
    assert not {"safety/code-execution"} & {finding.code for finding in report.findings}
    assert report.plan.lossy_codes == allow
    intact.load_into(model, run / name, allow=allow)
    assert_full(model, run)


def test_a_part_of_flat_parameters_is_called_a_part(run: Path) -> None:
    """Plain vectors say nothing of the whole; their lengths do."""
    report = intact.check(run / "cut" / "part_0.pth", net(run))
    (finding,) = [finding for finding in report.findings if finding.code == "arch/flattened"]
    assert finding.evidence["processes"] == [2, 2]
    assert report.verdict == "incompatible"


def test_the_files_of_some_processes_are_no_checkpoint(run: Path, tmp_path: Path) -> None:
    """What is there is told in figures, and nothing is loaded."""
    shutil.copy(run / "dtensor" / "model_world_size_2_rank_1.pt", tmp_path)
    model = net(run)
    report = intact.check(tmp_path / "model_world_size_2_rank_1.pt", model)
    assert report.verdict == "damaged"
    assert report.findings[0].code == "file/missing-shard"
    assert "`emb.weight`, 30 of 66 values" in report.findings[0].headline
    with pytest.raises(intact.LoadRefused):
        intact.load_into(model, tmp_path)


def test_parts_are_converted_to_one_file(run: Path, tmp_path: Path) -> None:
    """Tensors, and what is not cut, of the first file."""
    intact.convert(run / "dtensor", tmp_path / "one.safetensors")
    model = net(run)
    intact.load_into(model, tmp_path / "one.safetensors")
    assert_full(model, run)
    assert set(intact.read(run / "dtensor")) == set(model.state_dict())


def test_files_of_other_saves_are_not_put_together(run: Path, tmp_path: Path) -> None:
    """A file of another run in the place of one of them leaves a gap, and is not taken for a part."""
    shutil.copytree(run / "dtensor", tmp_path / "mixed")
    shutil.copy(run / "flat" / "model.rank_1.pth", tmp_path / "mixed" / "model_world_size_2_rank_1.pt")
    report = intact.check(tmp_path / "mixed" / "model_world_size_2_rank_0.pt", net(run))
    assert report.verdict == "damaged"
    assert report.findings[0].code == "file/missing-shard"
