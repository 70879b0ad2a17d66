"""What can be exported, what cannot and says so, and control flow that depends on the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from split import networks
from splitward.core.edge import Normalise, Normalised
from splitward.core.errors import CutError
from splitward.models.lenet5 import LeNet5
from splitward.split import cuts, export, paths, split
from splitward.split.blocks import Branch, Guard, Loop, Select
from splitward.split.cuts import Positions
from splitward.split.graph import capture, runnable
from splitward.split.program import Program


class Plain(nn.Module):
    """A layer and a function: what the tests of errors vary."""

    def __init__(self, function: Callable[[Tensor, Tensor], object]) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(self.layer(x), x)


def one_sentence(error: pytest.ExceptionInfo[CutError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert len(text) < 400
    return text


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda h, x: h[: int(x.sum())], "other shapes"),
        (lambda h, x: h * float(x.mean()), "cannot be exported"),
        (lambda h, x: torch.dropout(h, 0.5, train=True), "two answers to the same input"),
        (lambda h, x: h if x.shape[0] > 1 else -h, "differs from the model at batch size 1"),
        (lambda h, x: h if x.shape[0] < 4 else -h, "computes something else at other batch sizes"),
        (lambda h, x: torch.stack([h[n] for n in range(x.shape[0])]), "fixes the batch size"),
        (lambda h, x: h.view(2, 4), "fixes the batch size"),
        (lambda h, x: torch.ones(3), "does not depend on its input"),
        (lambda h, x: {(1, 2): h}, "key"),
        (lambda h, x: {h.shape: h}, "cannot be exported"),
        (lambda h, x: h @ torch.ones(3, 3), "cannot be exported"),
        (lambda h, x: h.numpy(), "cannot be exported"),
    ],
)
def test_a_model_that_cannot_be_cut_is_refused_with_one_sentence(
    function: Callable[[Tensor, Tensor], object], said: str
) -> None:
    with pytest.raises(CutError) as error:
        cuts(Plain(function), torch.randn(2, 4))
    assert said in one_sentence(error)


def test_automatic_mixed_precision_is_refused_and_switched_off_is_not() -> None:
    def on(h: Tensor, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return (h @ h.T).float() + x.sum()

    def off(h: Tensor, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return h * 2

    with pytest.raises(CutError, match="autocast"):
        cuts(Plain(on), torch.randn(2, 4))
    assert [cut.name for cut in cuts(Plain(off), torch.randn(2, 4))] == ["layer", "mul"]


@pytest.mark.parametrize("example", [None, "x", (torch.randn(2, 4),), torch.randn(()), torch.randn(0, 4)])
def test_an_example_that_is_no_batch_is_refused(example: object) -> None:
    with pytest.raises(CutError) as error:
        cuts(Plain(lambda h, x: h), example)  # type: ignore[arg-type]
    one_sentence(error)


def test_a_model_with_two_inputs_is_refused() -> None:
    with pytest.raises(CutError) as error:
        cuts(nn.Bilinear(4, 4, 2), torch.randn(2, 4))
    assert "input2" in one_sentence(error)


def test_nothing_is_printed_by_a_failing_export(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CutError):
        cuts(Plain(lambda h, x: h * float(x.mean())), torch.randn(2, 4))
    assert capfd.readouterr() == ("", "")


def paths_agree(model: nn.Module, program: Program, inputs: list[Tensor]) -> None:
    graph = runnable(program)
    for batch in inputs:
        torch.testing.assert_close(graph(batch)[0], model(batch))


def test_every_path_of_the_control_flow_is_the_models() -> None:
    torch.manual_seed(0)
    model = networks.ControlFlow().eval()
    positions = Positions.of(model, torch.randn(2, 6))
    names = [cut.name for cut in positions.cuts]  # behind the early exit too
    assert names.index("exit") < names.index("refine") < names.index("refine#3") < names.index("head")
    inputs = [torch.randn(1 + n % 3, 6) * size for n in range(40) for size in (0.1, 1, 4)]
    taken = {path_of(model, batch) for batch in inputs}
    assert len(taken) >= 5  # the comparison means something: early exits, experts, numbers of rounds
    paths_agree(model, positions.program, inputs)


def path_of(model: networks.ControlFlow, batch: Tensor) -> tuple[str, ...]:
    """The layers that the model really calls for a batch."""
    called: list[str] = []
    hooks = [m.register_forward_hook(lambda *_, n=n: called.append(n)) for n, m in model.named_modules() if n]
    model(batch)
    for hook in hooks:
        hook.remove()
    return tuple(called)


def test_two_sides_that_both_compute_stay_lazy() -> None:
    def function(h: Tensor, x: Tensor) -> Tensor:
        return h.relu() if x.mean() > 0 else h.tanh()

    model = Plain(function)
    program = capture(model, torch.randn(2, 4))
    assert [type(m) for m in program.modules.values()] == [Branch]
    paths_agree(model, program, [torch.randn(2, 4) for _ in range(8)])


def test_a_side_that_could_fail_is_not_computed_in_vain() -> None:
    table = torch.randn(4, 4)

    def function(h: Tensor, x: Tensor) -> Tensor:
        if x.max() < 4:
            h = h + table[x.max().relu().long()]
        return h

    model = Plain(function)
    program = capture(model, torch.rand(2, 4))
    assert [type(m) for m in program.modules.values()] == [Branch]
    paths_agree(model, program, [torch.rand(2, 4) * size for size in (1, 3, 9)])


def test_a_loop_is_unrolled_and_a_longer_one_says_so() -> None:
    torch.manual_seed(0)
    model = networks.WhileLoop()
    program = capture(model, torch.randn(2, 6))
    assert [type(m) for m in program.modules.values()] == [Branch]
    paths_agree(model, program, [torch.randn(2, 6) * size for size in (0.01, 1, 10, 100)])
    with pytest.raises(CutError, match="was not exported"):
        runnable(program)(torch.randn(2, 6) * 2.0 ** (paths.MAX_DECISIONS + 4))


def test_a_path_on_which_the_model_fails_fails_in_the_graph() -> None:
    def function(h: Tensor, x: Tensor) -> Tensor:
        if not torch.isfinite(x).all():
            raise ValueError("not finite")
        return h.relu()

    model = Plain(function)
    program = capture(model, torch.randn(2, 4))
    assert [type(m) for m in program.modules.values()] == [Guard]
    paths_agree(model, program, [torch.randn(2, 4)])
    with pytest.raises(CutError, match="the model fails"):
        runnable(program)(torch.full((2, 4), torch.nan))


def test_questions_in_all_forms() -> None:
    def function(h: Tensor, x: Tensor) -> Tensor:
        if torch.equal(x, x.abs()) or torch.allclose(x, torch.zeros_like(x), atol=0.1):
            h = h.relu()
        return h * (x.max().item() if x.min().item() < -1 else 3)

    model = Plain(function)
    inputs = [torch.randn(2, 4) * size for size in (0.01, 1, 3) for _ in range(8)] + [torch.rand(2, 4)]
    paths_agree(model, capture(model, torch.randn(2, 4)), inputs)


def test_a_number_of_rounds_that_is_read_from_the_data() -> None:
    def function(h: Tensor, x: Tensor) -> Tensor:
        for _ in range(int(x.abs().mean() * 2)):
            h = h.tanh()
        return h

    model = Plain(function)
    paths_agree(model, capture(model, torch.randn(2, 4)), [torch.randn(2, 4) * size for size in (0.1, 1, 2, 4)])


def test_torchs_own_control_flow() -> None:
    torch.manual_seed(0)
    model = networks.TorchControlFlow()
    program = capture(model, torch.randn(2, 6))
    assert {type(m) for m in program.modules.values()} == {Branch, Loop}
    paths_agree(model, program, [torch.randn(2, 6) * size for size in (0.1, 1, 10, 1000) for _ in range(3)])


def test_too_many_paths_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "MAX_PATHS", 8)

    def function(h: Tensor, x: Tensor) -> Tensor:
        for n in range(10):
            h = h + 1 if h[0, n % 4] > n else h * 2
        return h

    with pytest.raises(CutError, match="paths"):
        capture(Plain(function), torch.randn(2, 4))


def test_a_select_takes_gradients_to_the_chosen_side_only() -> None:
    def function(h: Tensor, x: Tensor) -> Tensor:
        if x.mean() > 0:
            h = (h * 0).sqrt()  # infinite gradient
        return h

    model = Plain(function)
    program = capture(model, torch.randn(2, 4))
    assert [type(m) for m in program.modules.values()] == [Select]
    x = torch.full((2, 4), -1.0, requires_grad=True)
    runnable(program)(x)[0].sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_no_gradient_flows_out_of_no_grad() -> None:
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                frozen = self.one(x)
            return self.other(x) * frozen

    halves = split(Partly(), torch.randn(2, 4), at="other")
    halves.cloud(halves.edge(torch.randn(2, 4))).sum().backward()
    gradients = {name: p.grad for name, p in halves.edge.named_parameters()}
    assert gradients["body.one.weight"] is None
    assert gradients["body.other.weight"] is not None


def test_frozen_stays_frozen_and_halves_freeze_on_their_own() -> None:
    model = LeNet5()
    model.conv1.requires_grad_(False)
    exported = export(model, torch.randn(1, 1, 28, 28))
    first, second = exported.split("pool2"), exported.split("pool2")
    assert {n: p.requires_grad for n, p in first.edge.named_parameters()} == {
        "body.conv1.weight": False, "body.conv1.bias": False, "body.conv2.weight": True, "body.conv2.bias": True,
    }  # fmt: skip
    first.edge.requires_grad_(False)
    assert all(p.requires_grad for p in second.cloud.parameters())
    assert second.edge.get_parameter("body.conv2.weight").requires_grad


def test_halves_hold_only_what_they_need() -> None:
    halves = split(LeNet5(), torch.randn(1, 1, 28, 28), at="ReLU2")
    assert set(halves.edge.state_dict()) == {f"body.conv{n}.{part}" for n in (1, 2) for part in ("weight", "bias")}
    assert set(halves.cloud.state_dict()) == {f"body.fc{n}.{part}" for n in (1, 2, 3) for part in ("weight", "bias")}


def test_a_normalised_model_is_cut_inside_and_the_edge_normalises() -> None:
    model = Normalised(Normalise((0.5,), (0.25,)), LeNet5()).eval()
    halves = split(model, torch.rand(1, 1, 28, 28), at="conv1")
    pixels = torch.rand(3, 1, 28, 28)
    torch.testing.assert_close(halves.edge.body((pixels - 0.5) / 0.25), halves.edge(pixels))
    torch.testing.assert_close(halves.cloud(halves.edge(pixels)), model(pixels))
    assert not hasattr(halves.cloud, "normalise")


@pytest.mark.parametrize("dynamic", [True, False], ids=["any batch", "exported at batch 2"])
def test_a_pt2_file_can_be_cut_under_its_own_names(tmp_path: Path, dynamic: bool) -> None:
    model = LeNet5().eval()
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    program = torch.export.export(model, (torch.randn(2, 1, 28, 28),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    exported = export(loaded, torch.randn(1, 1, 28, 28))
    assert [c.name for c in exported.cuts()] == [c.name for c in cuts(model, torch.randn(1, 1, 28, 28))]
    halves = exported.split("ReLU2")
    batch = torch.randn(5, 1, 28, 28)
    torch.testing.assert_close(halves.cloud(halves.edge(batch)), model(batch))


def test_weights_with_awkward_names_stay_apart() -> None:
    class Awkward(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.code = nn.Linear(4, 4)
            self.graph = nn.ModuleDict({name: nn.Linear(4, 4) for name in ("class", "a-b", "a_b", "compile_")})

        def forward(self, x: Tensor) -> Tensor:
            for layer in (self.code, *self.graph.values()):
                x = layer(x).relu()
            return x

    model = Awkward()
    x = torch.randn(3, 4)
    for cut in cuts(model, x):
        halves = split(model, x, at=cut.name)
        torch.testing.assert_close(halves.cloud(halves.edge(x)), model(x))


def test_the_cloud_says_how_many_tensors_it_takes() -> None:
    halves = split(networks.ResNet(), torch.randn(1, 3, 8, 8), at="layer1.0.conv1")
    with pytest.raises(CutError, match=r"takes 2 tensor\(s\) and was given 1"):
        halves.cloud(torch.randn(1, 8, 8, 8))


@pytest.mark.parametrize(
    ("model", "batch", "at"),
    [
        (networks.TiedLSTM(), torch.randint(0, 40, (2, 7)), "embed"),
        (networks.VisionTransformer(), torch.randn(2, 3, 8, 8), "patch"),
        (networks.Nested(), torch.randn(2, 6), "stem"),
    ],
    ids=["states of zeros", "an expanded token", "no constant"],
)
def test_halves_can_be_moved_to_another_device(model: nn.Module, batch: Tensor, at: str) -> None:
    halves = split(model, batch, at=at)
    elsewhere = halves.edge.to("meta")(batch.to("meta"))
    output = halves.cloud.to("meta")(elsewhere)
    assert {leaf.device.type for leaf in tree_leaves(output) if isinstance(leaf, Tensor)} == {"meta"}


def _through_a_view(h: Tensor, x: Tensor) -> Tensor:
    part = h[:, :2]
    h.mul_(2)
    return part + h[:, 2:]


def _into_a_view(h: Tensor, x: Tensor) -> Tensor:
    h[:, 0] = 1
    return h * 2


def _twice(h: Tensor, x: Tensor) -> Tensor:
    one = h.add_(1)
    other = h.mul_(2)
    return torch.cat([one, other, h], 1)


@pytest.mark.parametrize("function", [_through_a_view, _into_a_view, _twice])
def test_overwriting_is_seen_by_everyone_who_looks(function: Callable[[Tensor, Tensor], object]) -> None:
    model = Plain(function)
    batch = torch.randn(3, 4)
    for cut in cuts(model, batch):
        halves = split(model, batch, at=cut.name)
        torch.testing.assert_close(halves.cloud(halves.edge(batch)), model(batch))
