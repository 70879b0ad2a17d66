"""Networks that nobody designed: any wiring of layers, joins, views, masks and overwriting must cut everywhere."""

from __future__ import annotations

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from splitward.split import export

STEPS = {
    "linear": lambda m, a, b: m.layer(a),
    "relu": lambda m, a, b: a.relu(),
    "overwrite": lambda m, a, b: (a * 1).mul_(0.5),
    "overwrite a part": lambda m, a, b: m.with_first(a, b),
    "add": lambda m, a, b: a + b,
    "gate": lambda m, a, b: a * torch.sigmoid(b),
    "join": lambda m, a, b: m.narrow(torch.cat([a, b], 1)),
    "halves": lambda m, a, b: torch.cat(a.chunk(2, 1)[::-1], 1),
    "sort": lambda m, a, b: a.sort(1)[0],
    "pick": lambda m, a, b: a + b.gather(1, a.argmax(1, keepdim=True)),
    "mask": lambda m, a, b: torch.where(a > b, a, -b),
    "batch second": lambda m, a, b: (a.T.unsqueeze(0) * 2).squeeze(0).T,
    "merged with the batch": lambda m, a, b: m.tiny(a.reshape(-1, 2)).reshape(a.shape),
    "batch last in a merge": lambda m, a, b: (a.T.reshape(-1, 1) @ m.tiny.weight[:1, :1]).view(8, -1).T,
    "of all samples": lambda m, a, b: a - a.mean(),
    "a number": lambda m, a, b: a * b.abs().max().item(),
    "a choice": lambda m, a, b: m.layer(a) if b.mean() > 0 else a,
    "batch size": lambda m, a, b: a + torch.arange(a.shape[0], device=a.device)[:, None] * 0.1,
}


class Wired(nn.Module):
    """Each step takes two earlier values and makes one; the last two are the output."""

    def __init__(self, plan: list[tuple[str, int, int]]) -> None:
        super().__init__()
        self.layer, self.narrow, self.tiny = nn.Linear(8, 8), nn.Linear(16, 8), nn.Linear(2, 2)
        self.plan = plan

    def with_first(self, a: Tensor, b: Tensor) -> Tensor:
        a = a.clone()
        a[:, 0] = b[:, 1]
        return a

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        values = [self.layer(x)]
        for step, first, second in self.plan:
            values.append(STEPS[step](self, values[first % len(values)], values[second % len(values)]))
        return tuple(values[-2:])


plans = st.lists(
    st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=7
).filter(lambda plan: sum(step == "a choice" for step, _, _ in plan) <= 2)


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(plans)
def test_any_wiring_can_be_cut_everywhere(plan: list[tuple[str, int, int]]) -> None:
    torch.manual_seed(0)
    model = Wired(plan)
    exported = export(model, torch.randn(2, 8))
    for cut in exported.cuts():
        if cut.leaks_input:
            continue
        assert not cut.refused
        halves = exported.split(cut.name)
        for n in (1, 5):
            batch = torch.randn(n, 8)
            sent = halves.edge(batch)
            parts = sent if isinstance(sent, tuple) else (sent,)
            assert [p.shape for p in parts] == [(n, *spec.shape) for spec in cut.activation]
            received = tuple(p.detach().clone().contiguous() for p in parts)
            for one, other in zip(halves.cloud(received), model(batch), strict=True):
                torch.testing.assert_close(one, other)
