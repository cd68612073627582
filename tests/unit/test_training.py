"""Training state beside live objects: found under other names, repaired by name, loaded all or nothing."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import intact

Objects = dict[str, Any]


class Net(nn.Module):
    """Two layers of one shape and a head, so that positions can be mixed up without a word."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the head's values."""
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))))  # type: ignore[no-any-return]


def trained(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    """Takes steps on the same data."""
    for step in range(steps):
        optimizer.zero_grad()
        net(torch.linspace(-1, 1, 8).reshape(2, 4) * (step + 1)).square().sum().backward()
        optimizer.step()


def run(seed: int = 0, *, steps: int = 3, backwards: bool = False) -> Objects:
    """Returns a model with its optimizer, trained or not."""
    torch.manual_seed(seed)
    net = Net()
    parameters = list(net.parameters())
    optimizer = torch.optim.Adam(parameters[::-1] if backwards else parameters, 1e-2)
    trained(net, optimizer, steps)
    return {"model": net, "optimizer": optimizer}


def moments(objects: Objects) -> dict[str, torch.Tensor]:
    """Returns what the optimizer keeps, by the name of the parameter."""
    names = {id(parameter): name for name, parameter in objects["model"].named_parameters()}
    state = objects["optimizer"].state
    return {names[id(parameter)]: slots["exp_avg"] for parameter, slots in state.items()}


def assert_same_moments(one: Objects, other: Objects) -> None:
    """Asserts that each parameter has the same moments, bit for bit."""
    a, b = moments(one), moments(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def plain(objects: Objects, path: Path, **renamed: str) -> Path:
    """Writes state as torch does, under other names where they are given."""
    torch.save({renamed.get(name, name): part.state_dict() for name, part in objects.items()}, path)
    return path


def codes(report: intact.Report) -> set[str]:
    """Returns the codes that are more than information."""
    return {finding.code for finding in report.findings if finding.severity != "info"}


def test_state_follows_names_through_a_wrapper_and_another_order(tmp_path: Path) -> None:
    """Weights and moments were saved under DataParallel's names; both have to find their way."""
    saved = run()
    wrapped = {"model": nn.DataParallel(saved["model"]), "optimizer": saved["optimizer"]}
    intact.save(wrapped, tmp_path / "run")
    target = run(1, steps=0, backwards=True)
    report = intact.check(tmp_path / "run", target)
    assert codes(report) == {"arch/key-prefix", "state/optimizer-order"}
    intact.load_into(target, tmp_path / "run")
    assert_same_moments(saved, target)


def test_a_trainer_s_file_is_understood_by_the_form_of_its_entries(tmp_path: Path) -> None:
    """Lightning calls them otherwise, and keeps lists of one."""
    saved = run()
    path = tmp_path / "epoch=1.ckpt"
    torch.save(
        {
            "epoch": 1,
            "global_step": 3,
            "state_dict": saved["model"].state_dict(),
            "optimizer_states": [saved["optimizer"].state_dict()],
        },
        path,
    )
    target = run(1, steps=0)
    assert codes(intact.load_into(target, path)) == {"arch/nested-state"}
    assert_same_moments(saved, target)


def test_two_optimizers_without_names_of_their_own_are_not_guessed(tmp_path: Path) -> None:
    """Either of the two entries could be the one that is wanted."""
    saved = run()
    again = torch.optim.Adam(saved["model"].parameters())
    path = plain({**saved, "other": again}, tmp_path / "two.pt", optimizer="a", other="b")
    assert "state/optimizer-missing" in codes(intact.check(path, run(1, steps=0)))


def test_an_order_that_shapes_cannot_tell_is_called_so(tmp_path: Path) -> None:
    """Two layers of one shape stand in an order of their own: no repair is better than the wrong one."""
    net = Net()
    mixed = [net.second.weight, net.head.bias, net.first.bias, net.head.weight, net.first.weight, net.second.bias]
    optimizer = torch.optim.Adam(mixed)
    trained(net, optimizer)
    path = plain({"model": net, "optimizer": optimizer}, tmp_path / "mixed.pt")
    target = run(1, steps=0)
    report = intact.check(path, target)
    assert report.verdict == "incompatible"
    assert codes(report) == {"state/optimizer-order"}
    before = copy.deepcopy(target["model"].state_dict())
    with pytest.raises(intact.LoadRefused):
        intact.load_into(target, path)
    assert all(torch.equal(before[key], value) for key, value in target["model"].state_dict().items())


def test_names_of_the_file_tell_an_order_that_shapes_cannot(tmp_path: Path) -> None:
    """The same order as above, and the optimizer was built from named_parameters()."""
    net = Net()
    mixed = sorted(net.named_parameters(), key=lambda row: row[0][::-1])
    optimizer = torch.optim.Adam(mixed)
    trained(net, optimizer)
    path = plain({"model": net, "optimizer": optimizer}, tmp_path / "named.pt")
    target = run(1, steps=0)
    assert codes(intact.load_into(target, path)) == {"state/optimizer-order"}
    assert_same_moments({"model": net, "optimizer": optimizer}, target)


def test_a_new_head_keeps_the_rest_of_the_moments(tmp_path: Path) -> None:
    """Fine-tuning starts from a run with another number of classes."""
    saved = run()
    for path in (plain(saved, tmp_path / "plain.pt"), tmp_path / "sealed"):
        if path.suffix == "":
            intact.save(saved, path)
        net = Net(classes=7)
        target: Objects = {"model": net, "optimizer": torch.optim.Adam(net.parameters(), 1e-2)}
        assert codes(intact.check(path, target)) == {"arch/resized-head", "state/optimizer-shape"}
        intact.load_into(target, path, allow=["arch/resized-head", "state/optimizer-shape"])
        kept = moments(target)
        assert set(kept) == {"first.weight", "first.bias", "second.weight", "second.bias"}
        assert all(torch.equal(kept[name], moments(saved)[name]) for name in kept)


def test_an_optimizer_of_fewer_parameters_loses_state_only_when_allowed(tmp_path: Path) -> None:
    """The second run trains the head alone; the moments of the body have no place any more."""
    saved = run()
    intact.save(saved, tmp_path / "run")
    net = Net()
    target: Objects = {"model": net, "optimizer": torch.optim.Adam(net.head.parameters(), 1e-2)}
    report = intact.check(tmp_path / "run", target)
    assert report.verdict == "lossy"
    assert "state/optimizer-groups" in codes(report)
    intact.load_into(target, tmp_path / "run", allow=["state/optimizer-groups"])
    assert torch.equal(moments(target)["head.weight"], moments(saved)["head.weight"])


def test_plain_values_come_back_in_the_dict_that_asked_for_them(tmp_path: Path) -> None:
    """A step is no object that could be loaded into."""
    saved = {**run(), "step": 7, "history": [0.5, 0.25], "note": "warm", "best": {"loss": 0.25, "at": (3, 1)}}
    intact.save(saved, tmp_path / "run")
    target = {**run(1, steps=0), "step": 0, "history": None, "note": "", "best": {}}
    assert intact.load_into(target, tmp_path / "run").verdict == "intact"
    assert {name: target[name] for name in ("step", "history", "note", "best")} == {
        name: saved[name] for name in ("step", "history", "note", "best")
    }


class Stubborn:
    """An object whose loading code changes itself and then fails."""

    def __init__(self) -> None:
        self.values = [1, 2, 3]

    def state_dict(self) -> dict[str, Any]:
        """Returns the values."""
        return {"values": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Fails half-way, unless it is given back its own."""
        if state["values"] != [1, 2, 3]:
            self.values = [9]
            raise ValueError("not these")
        self.values = list(state["values"])


def test_one_object_that_fails_leaves_all_as_they_were(tmp_path: Path) -> None:
    """All or nothing is over all objects: half a resume is worse than none."""
    saved = {**run(), "rng": intact.rng(), "stubborn": Stubborn()}
    saved["stubborn"].values = [4]
    intact.save(saved, tmp_path / "run")
    target: Objects = {**run(1, steps=2, backwards=True), "rng": intact.rng(), "stubborn": Stubborn()}
    weights, state = copy.deepcopy(target["model"].state_dict()), copy.deepcopy(target["optimizer"].state_dict())
    order = [id(parameter) for parameter in target["optimizer"].param_groups[0]["params"]]
    drawing = torch.get_rng_state()
    with pytest.raises(intact.LoadRefused, match="ValueError: not these"):
        intact.load_into(target, tmp_path / "run")
    assert target["stubborn"].values == [1, 2, 3]
    assert all(torch.equal(weights[key], value) for key, value in target["model"].state_dict().items())
    now = target["optimizer"].state_dict()
    assert now["param_groups"] == state["param_groups"]
    assert all(torch.equal(now["state"][n]["exp_avg"], state["state"][n]["exp_avg"]) for n in state["state"])
    assert [id(parameter) for parameter in target["optimizer"].param_groups[0]["params"]] == order
    assert torch.equal(torch.get_rng_state(), drawing)


class Forgetful(Stubborn):
    """An object that takes its state and keeps something else."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Keeps the first value."""
        self.values = state["values"][:1]


def test_an_object_that_does_not_hold_what_it_was_given_is_noticed(tmp_path: Path) -> None:
    """Loading is read back, not believed."""
    intact.save({**run(), "object": Stubborn()}, tmp_path / "run")
    target = {**run(1, steps=0), "object": Forgetful()}
    with pytest.raises(intact.ReadBackFailed, match=r"object\.values"):
        intact.load_into(target, tmp_path / "run")


def test_the_settings_of_the_file_are_in_force_and_the_class_stays_what_it_is(tmp_path: Path) -> None:
    """AdamW's groups would make Adam an AdamW; its moments are as good for either."""
    net = Net()
    saved: Objects = {"model": net, "optimizer": torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=0.2)}
    trained(net, saved["optimizer"])
    path = plain(saved, tmp_path / "adamw.pt")
    target = run(1, steps=0)
    report = intact.load_into(target, path)
    assert codes(report) == {"state/optimizer-class", "state/optimizer-groups"}
    group = target["optimizer"].param_groups[0]
    assert (group["lr"], group["weight_decay"], group["decoupled_weight_decay"]) == (3e-3, 0.2, False)
    assert_same_moments(saved, target)


def test_moments_that_are_wider_than_the_parameter_stay_so(tmp_path: Path) -> None:
    """Torch casts them to the dtype of the parameter, and a half step later they are not a number."""
    net = Net().bfloat16()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for parameter in net.parameters():
        wide = torch.full(parameter.shape, 1 / 3)
        optimizer.state[parameter] = {"step": torch.tensor(2.0), "exp_avg": wide, "exp_avg_sq": wide.clone()}
    saved: Objects = {"model": net, "optimizer": optimizer}
    intact.save(saved, tmp_path / "run")
    other = Net().bfloat16()
    target: Objects = {"model": other, "optimizer": torch.optim.Adam(other.parameters(), 1e-2)}
    intact.load_into(target, tmp_path / "run")
    assert_same_moments(saved, target)
    assert {moment.dtype for moment in moments(target).values()} == {torch.float32}


def test_tied_parameters_are_one_in_the_optimizer(tmp_path: Path) -> None:
    """An embedding that is the head as well has one state under two names."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(6, 4), nn.Linear(4, 6, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.head(self.embed(x.long() % 6))
            return logits

    net = Tied()
    saved: Objects = {"model": net, "optimizer": torch.optim.Adam(net.parameters())}
    trained(net, saved["optimizer"])
    intact.save(saved, tmp_path / "run")
    other = Tied()
    target: Objects = {"model": other, "optimizer": torch.optim.Adam(other.parameters())}
    assert intact.load_into(target, tmp_path / "run").verdict == "intact"
    assert_same_moments(saved, target)


def test_keys_of_several_models_have_their_names_in_front(tmp_path: Path) -> None:
    """G and D have the same keys inside."""
    one, other = Net(), Net()
    saved = {"G": one, "D": other}
    intact.save(saved, tmp_path / "gan")
    target: Objects = {"G": Net(), "D": Net(classes=5)}
    report = intact.check(tmp_path / "gan", target)
    assert {key for finding in report.findings for key in finding.keys} == {"D.head.weight", "D.head.bias"}
    assert report.target is not None
    assert report.target.tensors == 12
    assert report.plan.to_dict()["steps"][0]["part"] == "D"


def test_what_the_file_has_nothing_for_is_said(tmp_path: Path) -> None:
    """Silence would look like success."""
    intact.save(run(), tmp_path / "run")
    target = {**run(1, steps=0), "epoch": 3, "progress": Stubborn()}
    report = intact.load_into(target, tmp_path / "run")
    assert codes(report) == {"arch/missing-key"}
    assert report.findings[0].keys == ("epoch", "progress")
    assert target["epoch"] == 3


def test_a_sealed_model_can_be_loaded_alone_out_of_a_folder(tmp_path: Path) -> None:
    """Evaluation wants the weights and nothing else."""
    saved = run()
    intact.save(saved, tmp_path / "run")
    net = Net()
    intact.load_into(net, tmp_path / "run")
    assert torch.equal(net.head.weight, saved["model"].head.weight)
    rebuilt = intact.load(tmp_path / "run", Net)
    assert torch.equal(rebuilt.get_parameter("head.weight"), saved["model"].head.weight)


def test_a_report_prints_and_its_plan_reads_back(tmp_path: Path) -> None:
    """Steps of optimizers and of parts are rows of the table like any other."""
    from intact.repairs import plan_from_dict

    saved = run()
    intact.save({"model": nn.DataParallel(saved["model"]), "optimizer": saved["optimizer"]}, tmp_path / "run")
    report = intact.check(tmp_path / "run", run(1, steps=0, backwards=True))
    text = str(report)
    assert "in `model`: rename" in text
    assert "give 6 parameters of `optimizer` the state that was kept for them" in text
    assert plan_from_dict(report.plan.to_dict()) == report.plan
    after = report.plan.predict(report.found)
    assert "optimizer.state.0.exp_avg" in after.tensors
    assert "model.first.weight" in after.tensors


class Kept:
    """An object that holds a state dict, as scripts keep their best weights."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def state_dict(self) -> dict[str, Any]:
        """Returns it."""
        return self.state


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("sealed", [False, True])
def test_the_best_weights_that_follow_the_last_are_noticed(tmp_path: Path, copied: bool, sealed: bool) -> None:
    """A reference is saved as what it refers to; a copy that happens to be equal is a copy."""
    net = Net()
    best = copy.deepcopy(dict(net.state_dict())) if copied else dict(net.state_dict())
    objects: Objects = {"model": net, "best": Kept(best)}
    path = tmp_path / "run"
    if sealed:
        intact.save(objects, path)
    else:
        plain(objects, path)
    report = intact.check(path, {"model": Net()})
    assert codes(report) == (set() if copied else {"state/aliased-snapshots"})


def test_parameters_that_were_all_replaced_are_noticed(tmp_path: Path) -> None:
    """`assign=True` puts new tensors into the model, and the optimizer goes on with the old."""
    saved = run()
    path = plain(saved, tmp_path / "run.pt")
    target = run(1, steps=0)
    target["model"].load_state_dict({key: value.clone() for key, value in saved["model"].state_dict().items()}, assign=True)
    report = intact.check(path, target)
    assert codes(report) == {"state/optimizer-detached"}
    assert "first.weight" in report.findings[0].keys


def test_an_optimizer_of_something_else_is_left_in_peace(tmp_path: Path) -> None:
    """A learned temperature has an optimizer of its own; the target network has none, and needs none."""
    saved = run()
    temperature = torch.zeros(1, requires_grad=True)
    objects: Objects = {**saved, "target": Net(), "alpha": torch.optim.Adam([temperature])}
    intact.save(objects, tmp_path / "run")
    again: Objects = {**run(1, steps=0), "target": Net(), "alpha": torch.optim.Adam([torch.zeros(1, requires_grad=True)])}
    assert intact.load_into(again, tmp_path / "run").verdict == "intact"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("global_step", 6, False),
        ("global_step", 21, False),
        ("iteration", 7, False),
        ("iteration", 1, False),
        ("step", 0, False),
        ("global_step", 0, True),
        ("iteration", 10, True),
        ("best_step", 10, False),
        ("warmup_steps", 10, False),
        ("config", {"step": 10}, False),
        ("trainer", {"progress": {"global_step": 10}}, True),
    ],
)
def test_counters_are_compared_and_settings_are_not(tmp_path: Path, name: str, value: Any, told: bool) -> None:
    """Seven steps were taken: a step more or less, and whole multiples, are of one run."""
    intact.save({**run(steps=7), name: value}, tmp_path / "run")
    target = {**run(1, steps=0), name: value}
    assert codes(intact.check(tmp_path / "run", target)) == ({"state/step-mismatch"} if told else set())


def test_a_schedule_follows_its_optimizer_into_other_groups(tmp_path: Path) -> None:
    """A scheduler keeps a list with a member for each group."""
    net = Net()
    slow, fast = list(net.first.parameters()), [*net.second.parameters(), *net.head.parameters()]
    optimizer = torch.optim.SGD([{"params": slow, "lr": 0.01}, {"params": fast, "lr": 0.1}], momentum=0.9)
    saved: Objects = {"model": net, "optimizer": optimizer, "scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)}
    trained(net, optimizer)
    saved["scheduler"].step()
    intact.save(saved, tmp_path / "run")
    other = Net()
    slow, fast = list(other.first.parameters()), [*other.second.parameters(), *other.head.parameters()]
    optimizer = torch.optim.SGD([{"params": fast, "lr": 0.1}, {"params": slow, "lr": 0.01}], momentum=0.9)
    target: Objects = {
        "model": other,
        "optimizer": optimizer,
        "scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5),
    }
    intact.load_into(target, tmp_path / "run")
    assert target["scheduler"].base_lrs == [0.1, 0.01]
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.005]


def test_a_run_whose_head_never_learned_is_told_when_it_is_resumed(tmp_path: Path) -> None:
    """The head was replaced after its optimizer was built; only a file that names parameters can tell."""
    saved = run(steps=0)
    saved["model"].head = nn.Linear(4, 3)
    trained(saved["model"], saved["optimizer"])
    intact.save(saved, tmp_path / "run")
    report = intact.check(tmp_path / "run", run(1, steps=0))
    assert "state/optimizer-detached" in codes(report)
    assert report.findings[0].keys == ("head.weight", "head.bias")


def test_settings_of_another_class_are_noticed_where_no_class_is_named(tmp_path: Path) -> None:
    """RAdam goes on with Adam's moments, and is another optimizer all the same."""
    path = plain(run(), tmp_path / "adam.pt")
    net = Net()
    report = intact.check(path, {"model": net, "optimizer": torch.optim.RAdam(net.parameters())})
    assert codes(report) == {"state/optimizer-class"}
    assert "amsgrad" in report.findings[0].headline


def test_a_mapping_with_a_model_alone_is_that_model(tmp_path: Path) -> None:
    """A sealed file keeps what it says of learning, whoever asks."""
    net = Net()
    net.first.requires_grad_(False)
    intact.save(net, tmp_path / "model.safetensors")
    report = intact.load_into({"model": Net()}, tmp_path / "model.safetensors")
    assert codes(report) == {"state/frozen-differs"}
    assert report.source.integrity.checked_bytes > 0


def test_a_place_is_for_a_model_alone(tmp_path: Path) -> None:
    """Ignoring it would load something else than was asked for."""
    path = plain(run(), tmp_path / "run.pt")
    with pytest.raises(intact.IntactError, match="`at`"):
        intact.check(path, run(), at="model")
    with pytest.raises(intact.IntactError, match="`at`"):
        intact.load_into(run(), path, at="model")


@pytest.mark.parametrize(
    "state",
    [
        {"state": {0: 5, "x": None}, "param_groups": [{"params": [[1], {}, 0], "param_names": ["a", "b", "c"]}]},
        {"state": {}, "param_groups": []},
        {"state": {0: {"step": "many"}}, "param_groups": [{"params": [0, 0, 1, True], "lr": [[]]}]},
        {"state": {}, "param_groups": [{"params": list(range(50)), "betas": "x"}]},
        {"state": [], "param_groups": {}},
    ],
)
def test_state_that_makes_no_sense_is_told_and_not_loaded(tmp_path: Path, state: Any) -> None:
    """Files come from others, and from accidents; a report is the answer, whatever is in them."""
    net = Net()
    path = tmp_path / "odd.pt"
    torch.save({"model": net.state_dict(), "optimizer": state}, path)
    target = run(1, steps=2)
    before = copy.deepcopy(target["optimizer"].state_dict())
    assert intact.check(path, target).verdict != "intact"
    try:
        intact.load_into(target, path)
    except intact.IntactError:
        now = target["optimizer"].state_dict()
        assert all(torch.equal(now["state"][n]["exp_avg"], before["state"][n]["exp_avg"]) for n in before["state"])
