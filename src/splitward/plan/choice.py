"""The plan: every cut with every defence, what each comes to, why it is refused, and the best that is left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from splitward.core.errors import UsageError
from splitward.plan import units
from splitward.plan.privacy import Evidence, Target
from splitward.plan.problem import Choice, Limits, Problem, Weights, mask
from splitward.plan.search import Solution, enumerate_choices, solve
from splitward.plan.setting import CLOUD_ONLY, EDGE_ONLY, Setting

NOT_AUDITED = "its leakage has not been audited"
BRANCHES = "it cuts several branches at different depths, where no audit can be made"

Reasons = dict[str, str]
"""The limit's option -> one clause with numbers."""


@dataclass(frozen=True)
class Wanted:
    """What is minimised, and what must hold. Limits on privacy and accuracy need evidence."""

    weights: Weights
    limits: Limits
    min_accuracy: float | None = None
    max_excess: float | None = None
    defences: tuple[str, ...] = ("none",)


@dataclass(frozen=True)
class Row:
    """One cut with one defence. ``choice`` None: the cut itself is refused. ``value``: the objective.

    ``at_least``: what is known to leak, where no believable verdict says how much at most.
    """

    name: str
    defence: str
    choice: Choice | None
    value: float
    accuracy: float | None
    excess: float | None
    reasons: Reasons
    audited: bool
    basis: str = ""
    advice: bool = False
    front: bool = False
    at_least: float | None = None

    @property
    def feasible(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons


@dataclass(frozen=True)
class Plan:
    """The rows in the graph's order, and the best of them (None: no row meets every limit)."""

    setting: Setting
    wanted: Wanted
    rows: tuple[Row, ...]
    best: Row | None
    solution: Solution
    uses_evidence: bool

    @property
    def solved(self) -> bool:
        """Whether the choice is that of the search by costs alone."""
        chosen, found = self.best and self.best.choice, self.solution.choice
        return (chosen.edge if chosen else None) == (found.edge if found else None)

    @property
    def believable(self) -> bool:
        """Whether a believable verdict stands behind the choice; nothing crosses where all is on the edge."""
        return self.best is not None and (self.best.audited or self.best.name == EDGE_ONLY)


def plan(setting: Setting, wanted: Wanted, known: Mapping[Target, Evidence]) -> Plan:
    """The best cut and defence. Without limits on evidence, the optimum over every closed set of operations.

    With them a choice needs a believable record: the candidates are then the named cuts, and every other closed set
    for which there is a record. Raises UsageError where a profile lacks a number that is asked for.
    """
    _asked_is_known(setting, wanted)
    problem = setting.problem()
    solution = solve(problem, wanted.weights, wanted.limits)
    sets = {setting.name(s): s for s in (0, *problem.exact_bytes, problem.everything)}
    if solution.choice and solution.choice.edge not in sets.values():
        sets[setting.name(solution.choice.edge)] = solution.choice.edge
    sets |= _recorded(setting, problem, known, sets)
    choices = {name: _known(setting, problem.evaluate(chosen)) for name, chosen in sets.items()}
    order = sorted(choices, key=lambda n: (choices[n].edge.bit_count(), choices[n].edge))
    named = {c.name for c in setting.costs.cuts} | {CLOUD_ONLY, EDGE_ONLY}
    unknown = {name: NOT_AUDITED if name in named else BRANCHES for name in order}
    rows = [row for name in order for row in _rows(name, choices[name], wanted, known, unknown[name])]
    rows = _with_refused(setting, _with_front(_with_advice(setting, rows)))
    possible = [row for row in rows if row.feasible]
    best = min(possible, key=lambda r: (r.value, r.excess if r.excess is not None else 1.0), default=None)
    return Plan(setting, wanted, tuple(rows), best, solution, bool(known))


def _asked_is_known(setting: Setting, wanted: Wanted) -> None:
    if not setting.knows_energy and (wanted.weights.get("energy") or wanted.limits.energy_mj is not None):
        where = repr(setting.device.title) if setting.device else "a device as measured"
        raise UsageError(f"energy is asked for, and {where} has no active_w; name a profile that has it.")
    if not setting.knows_price and wanted.weights.get("money"):
        where = repr(setting.cloud.title) if setting.cloud else "a cloud as measured"
        raise UsageError(f"money is asked for, and {where} has no usd_per_hour; name a profile that has it.")


def _known(setting: Setting, choice: Choice) -> Choice:
    """The choice with NaN for what no profile says."""
    if choice.edge and not setting.knows_energy:
        choice = replace(choice, edge_mj=math.nan)
    if choice.busy_ms and not setting.knows_price:
        choice = replace(choice, usd=math.nan)
    return choice


def next_to_audit(found: Plan) -> Row | None:
    """The cheapest row that might be the best if only its leakage or accuracy were known; None: the optimum is certain.

    What leaks does not change what a row costs, so rows are audited in the order of the objective, and the first that
    keeps the limits is the optimum.
    """
    for row in sorted(found.rows, key=lambda r: r.value):
        if row.feasible:
            return None
        if set(row.reasons.values()) == {NOT_AUDITED}:
            return row
    return None


def _recorded(
    setting: Setting, problem: Problem, known: Mapping[Target, Evidence], held: Mapping[str, int]
) -> dict[str, int]:
    """Closed sets that are no named cut and for which there are records."""
    missing = {cut for cut, _ in known} - held.keys() - {c.name for c in setting.costs.cuts}
    every = enumerate_choices(problem) if missing else None
    return {name: c.edge for c in every or () if (name := setting.name(c.edge)) in missing}


def _rows(name: str, choice: Choice, wanted: Wanted, known: Mapping[Target, Evidence], unknown: str) -> list[Row]:
    alone = name in (CLOUD_ONLY, EDGE_ONLY)
    undefended = next((e.undefended for e in known.values() if e.undefended is not None), None)
    found = []
    for defence in ("none",) if alone else wanted.defences:
        said = known.get((name, defence))
        if name == EDGE_ONLY:
            said = Evidence(undefended, undefended, 0.0, True)
        elif name == CLOUD_ONLY:
            said = Evidence(undefended, undefended, 1.0, True)
        reasons = _costs_too_much(choice, wanted.limits) | _says_no(name, said, wanted, unknown)
        found.append(
            Row(
                name,
                defence,
                choice,
                choice.objective(wanted.weights),
                said.accuracy if said else None,
                said.excess if said else None,
                reasons,
                audited=bool(said and said.believable and not alone),
                basis=said.basis if said else "",
                at_least=said.at_least if said and not said.believable else None,
            )
        )
    return found


_WORDS = {
    "latency_ms": ("--latency", "it takes {}", units.time),
    "energy_mj": ("--energy", "it takes {} of the device", units.energy),
    "edge_memory_bytes": ("--edge-memory", "it needs {} on the edge", units.size),
    "wire_bytes": ("--bytes", "it sends {}", units.size),
}


def _costs_too_much(choice: Choice, limits: Limits) -> Reasons:
    found = {}
    for name, (value, limit) in limits.excess(choice).items():
        if name == "cloud":
            found["--arrivals"] = f"the cloud would need {units.time(choice.busy_ms)} for each and falls behind"
        else:
            option, words, show = _WORDS[name]
            found[option] = f"{words.format(show(value))}, above the limit of {show(limit)}"
    return found


def _says_no(name: str, said: Evidence | None, wanted: Wanted, unknown: str) -> Reasons:
    found = {}
    if wanted.max_excess is not None:
        if name == CLOUD_ONLY and wanted.max_excess < 1:
            found["--max-excess"] = (
                f"it sends the input itself, an excess of 1 above the limit of {wanted.max_excess:g}"
            )
        elif said is None:
            found["--max-excess"] = unknown
        elif not said.believable and said.at_least is not None and said.at_least > wanted.max_excess:
            found["--max-excess"] = (
                f"an excess leakage of at least {said.at_least:.3f} was found, above the limit of {wanted.max_excess:g}"
            )
        elif not said.believable:
            found["--max-excess"] = f"there is no believable verdict ({said.why.rstrip('.')})"
        elif said.excess is not None and said.excess > wanted.max_excess:
            found["--max-excess"] = (
                f"its excess leakage of {said.excess:.3f} is above the limit of {wanted.max_excess:g}"
            )
    if wanted.min_accuracy is not None:
        if said is None:
            found["--min-accuracy"] = unknown
        elif said.accuracy is None:
            found["--min-accuracy"] = "its accuracy was not measured"
        elif said.accuracy < wanted.min_accuracy:
            found["--min-accuracy"] = (
                f"its accuracy of {said.accuracy:.4f} is below the limit of {wanted.min_accuracy:g}"
            )
    return found


def _with_advice(setting: Setting, rows: Sequence[Row]) -> list[Row]:
    """Marks the paper's advice (section IV-C): the cut right after the first fully connected layer."""
    first = next((i for i, o in enumerate(setting.costs.operations) if o.kind == "linear"), None)
    if first is None:
        return list(rows)
    name = setting.name(mask(range(first + 1)))
    return [replace(row, advice=row.name == name) for row in rows]


def _with_refused(setting: Setting, rows: Sequence[Row]) -> list[Row]:
    """With the cuts that cannot be made at all."""
    refused = [
        Row(c.name, "none", None, math.inf, None, None, {"cut": c.refused.rstrip(".")}, audited=False)
        for c in setting.costs.cuts
        if c.refused and c.last + 1 < len(setting.costs.operations)
    ]
    return [*rows, *refused]


def _with_front(rows: Sequence[Row]) -> list[Row]:
    """Marks what no other row beats in latency, energy, accuracy and excess at once.

    Where the leakage of some rows is known, only those are compared: an unknown number beats nothing.
    """
    known = [r for r in rows if r.excess is not None and (r.audited or r.name in (CLOUD_ONLY, EDGE_ONLY))]
    compared = known if any(r.audited for r in known) else list(rows)
    points = {id(r): _point(r) for r in compared}
    beaten = {
        a for a, p in points.items() for b, q in points.items()
        if a != b and all(y <= x for x, y in zip(p, q, strict=True)) and p != q
    }  # fmt: skip
    return [replace(r, front=id(r) in points and id(r) not in beaten) for r in rows]


def _point(row: Row) -> tuple[float, float, float, float]:
    assert row.choice is not None
    excess = row.excess if row.excess is not None and row.audited else (1.0 if row.name == CLOUD_ONLY else 0.0)
    energy = 0.0 if math.isnan(row.choice.energy_mj) else row.choice.energy_mj
    return row.choice.latency_ms, energy, -(row.accuracy or 0.0), excess
