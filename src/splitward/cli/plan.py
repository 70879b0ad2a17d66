"""``splitward plan``: where to cut, with which defence, for this device, network and cloud."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from splitward.plan.choice import Plan, Wanted
    from splitward.plan.costs import Costs
    from splitward.plan.privacy import Evidence, Target
    from splitward.plan.problem import Weights
    from splitward.plan.setting import Setting

Option = typer.Option


def plan_command(
    model: Annotated[str | None, Option("--model", help="Zoo name, module:factory, a .pt2 file or a folder.")] = None,
    profile: Annotated[Path | None, Option("--profile", help="Costs of `splitward profile --out`; no torch.")] = None,
    device: Annotated[str, Option("--device", help="A device profile, a .yaml file, or measured.")] = "mobile",
    network: Annotated[str, Option("--network", help="A network profile, or a .yaml file.")] = "wifi",
    cloud: Annotated[str, Option("--cloud", help="A cloud profile, a .yaml file, or measured.")] = "cloud-gpu",
    objective: Annotated[
        str, Option("--objective", help="latency, energy, throughput, money, or weights: latency=1,energy=0.5.")
    ] = "latency",
    latency: Annotated[str | None, Option("--latency", help="Limit, as in '200 ms'.")] = None,
    energy: Annotated[str | None, Option("--energy", help="Limit for the device, as in '500 mJ'.")] = None,
    edge_memory: Annotated[
        str | None, Option("--edge-memory", help="Limit, as in '64 MB'. [default: the device's]")
    ] = None,
    bytes_: Annotated[str | None, Option("--bytes", help="Limit for what is sent, as in '100 kB'.")] = None,
    min_accuracy: Annotated[float | None, Option("--min-accuracy", help="Limit on the measured accuracy.")] = None,
    max_excess: Annotated[float | None, Option("--max-excess", help="Limit on the audited excess leakage.")] = None,
    defence: Annotated[
        list[str] | None, Option("--defence", help="kind:level[@input]; several: each is tried.")
    ] = None,
    runs: Annotated[list[Path] | None, Option("--runs", help="Folders of `splitward audit --out`.")] = None,
    audit: Annotated[
        str, Option("--audit", help="none, needed (until the choice is certain), all or sketch.")
    ] = "none",
    data: Annotated[
        str | None, Option("--data", help="Data set of the audits; with records, what the weights were trained on.")
    ] = None,
    effort: Annotated[str, Option("--effort", help="Of the audits: quick, standard or thorough.")] = "quick",
    samples: Annotated[int, Option("--samples", help="Secrets of the audits.")] = 60,
    bandwidth: Annotated[str | None, Option("--bandwidth", help="Of the uplink, as in '5 Mbit/s'.")] = None,
    delay: Annotated[str | None, Option("--delay", help="Round trip, as in '40 ms'.")] = None,
    trace: Annotated[Path | None, Option("--trace", help="Uplink over time: one number of Mbit/s a line.")] = None,
    percentile: Annotated[float | None, Option("--percentile", help="Plan for what holds so often, as in 95.")] = None,
    arrivals: Annotated[str | None, Option("--arrivals", help="What reaches the cloud in all, as in '50 /s'.")] = None,
    wire: Annotated[str, Option("--wire", help="Type of what crosses: float32, float16 or int8.")] = "float32",
    batch: Annotated[int, Option("--batch", help="Inputs sent together.")] = 1,
    tail: Annotated[bool, Option("--tail", help="Count the radio's tail energy for every inference.")] = False,
    input: Annotated[str | None, Option("--input", help="CxHxW of a model that declares none.")] = None,
    trust: Annotated[bool, Option("--trust", help="Load a .pt2 file, which may run its author's code.")] = False,
    out: Annotated[Path | None, Option("--out", help="Write the choice as an AUDIT.toml.")] = None,
    report: Annotated[Path | None, Option("--report", help="Write the plan as one HTML file.")] = None,
    as_json: Annotated[bool, Option("--json", help="One JSON document on standard output, nothing else.")] = False,
) -> int:
    """Choose the cut by latency, energy, memory and measured leakage, and say why the others were not chosen.

    Exit status: 0 a choice was made; 2 wrong input, or limits that nothing keeps.
    """
    given: dict[str, Any] = dict(locals())
    from splitward.plan import choice

    wanted = _wanted(given)
    setting = _setting(given)
    wanted = _with_device_memory(wanted, setting)
    known = _evidence(given, setting)
    found = choice.plan(setting, wanted, known)
    if audit != "none":
        found = _audited(found, known, given)
    return _answer(found, given)


def _wanted(given: dict[str, Any]) -> Wanted:
    from splitward.core.errors import UsageError
    from splitward.plan.choice import Wanted
    from splitward.plan.problem import Limits
    from splitward.plan.units import parse

    def limit(name: str, what: str, option: str) -> float | None:
        return None if given[name] is None else parse(given[name], what, option)

    for name, option in (("min_accuracy", "--min-accuracy"), ("max_excess", "--max-excess")):
        if given[name] is not None and not 0 <= given[name] <= 1:
            raise UsageError(f"{option} {given[name]:g} lies outside 0 to 1; write for example 0.3.")
    if given["batch"] < 1:
        raise UsageError(f"--batch {given['batch']} is below 1; write for example 8.")
    if given["audit"] not in ("none", "needed", "all", "sketch"):
        raise UsageError(f"--audit {given['audit']!r} is unknown; write none, needed, all or sketch.")
    if given["audit"] == "sketch" and given["effort"] != "quick":
        raise UsageError(
            f"--audit sketch has an effort of its own, and --effort is {given['effort']!r}; leave it away."
        )
    if given["audit"] != "none" and given["wire"] != "float32":
        raise UsageError(f"--audit audits float32 only, and --wire is {given['wire']!r}; leave one of them away.")
    limits = Limits(
        limit("latency", "time", "--latency"), limit("energy", "energy", "--energy"),
        limit("edge_memory", "size", "--edge-memory"), limit("bytes_", "size", "--bytes"),
    )  # fmt: skip
    chains = tuple(dict.fromkeys(given["defence"] or ["none"]))
    if given["audit"] != "none":  # loads torch; without audits an unknown defence has no record, and that is said
        from splitward.core.defence_text import parse_chain

        chains = tuple(dict.fromkeys(str(parse_chain(text)) for text in chains))
    return Wanted(_weights(given["objective"]), limits, given["min_accuracy"], given["max_excess"], chains)


def _weights(text: str) -> Weights:
    from typing import get_args

    from splitward.core.errors import UsageError
    from splitward.plan.problem import Objective

    known = get_args(Objective)
    weights: Weights = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        try:
            factor = float(number) if number else 1.0
        except ValueError:
            factor = -1.0
        if name not in known or not 0 < factor < float("inf"):
            raise UsageError(
                f"--objective {text!r} is wrong at {part.strip()!r}; write one of {', '.join(known)}, or weights "
                "above 0 as in latency=1,energy=0.5."
            )
        weights[name] = factor  # type: ignore[index]
    return weights


def _setting(given: dict[str, Any]) -> Setting:
    from splitward.core.errors import UsageError
    from splitward.plan import profiles
    from splitward.plan.costs import BYTES
    from splitward.plan.latency import MEASURED
    from splitward.plan.setting import Setting, effective_uplink
    from splitward.plan.units import parse

    device = None if given["device"] == MEASURED else profiles.device(given["device"])
    cloud = None if given["cloud"] == MEASURED else profiles.device(given["cloud"])
    link = profiles.network(given["network"], device)
    if given["wire"] not in BYTES:
        raise UsageError(f"--wire {given['wire']!r} is unknown; write {', '.join(BYTES)}.")
    if given["bandwidth"] and given["trace"]:
        raise UsageError("--bandwidth and --trace exclude each other: keep one of them.")
    if given["trace"] and "throughput" in _weights(given["objective"]):
        raise UsageError("--trace gives mean latency and energy, no throughput; name one --bandwidth for it.")
    stated = parse(given["bandwidth"], "bandwidth", "--bandwidth") if given["bandwidth"] else None
    steps = _trace(given["trace"]) if given["trace"] else None
    if stated and given["percentile"]:
        raise UsageError("--percentile needs a trace or the network's own spread: leave --bandwidth away.")
    return Setting(
        _costs(given), device, cloud, link, given["wire"], given["batch"],
        parse(given["arrivals"], "rate", "--arrivals") if given["arrivals"] else 0.0,
        given["tail"],
        stated or effective_uplink(link, steps, given["percentile"]),
        parse(given["delay"], "time", "--delay", positive=False) if given["delay"] else None,
    )  # fmt: skip


def _costs(given: dict[str, Any]) -> Costs:
    from splitward.core.errors import UsageError
    from splitward.plan import costs

    if (given["model"] is None) == (given["profile"] is None):
        raise UsageError("name either --model M or --profile FILE: what is to be planned.")
    if given["profile"] is not None:
        return costs.load(given["profile"])
    from splitward.cli.profile import costs_of

    compared = given["data"] if given["runs"] or given["audit"] != "none" else None  # with records of the same weights
    return costs_of(given["model"], given["input"], None, given["trust"], compared)[0]


def _trace(path: Path) -> list[float]:
    """Numbers of Mbit/s, the last of each line."""
    from splitward.core.errors import UsageError

    try:
        lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
        numbers = [float(line.replace(";", ",").split(",")[-1]) for line in lines]
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"{path} is no trace ({error}); write one number of Mbit/s a line.") from error
    if not numbers or not all(0 < n < float("inf") for n in numbers):
        raise UsageError(f"{path} holds no bandwidth, or one that is not above 0; write one number of Mbit/s a line.")
    return numbers


def _with_device_memory(wanted: Wanted, setting: Setting) -> Wanted:
    """The device's memory is a limit unless another was named."""
    import dataclasses

    held = setting.device.memory_mb if setting.device else None
    if wanted.limits.edge_memory_bytes is not None or held is None:
        return wanted
    return dataclasses.replace(wanted, limits=dataclasses.replace(wanted.limits, edge_memory_bytes=held.value * 1e6))


def _evidence(given: dict[str, Any], setting: Setting) -> dict[Target, Evidence]:
    import dataclasses

    from splitward.plan import privacy

    folders = list(given["runs"] or [])
    asked = privacy.Asked(setting.costs.model, given["wire"], setting.costs.weights_sha256)
    if given["audit"] != "none":  # where new audits go, too; a folder without a finished run is then no mistake
        from splitward.cli.plan_audits import root

        asked = dataclasses.replace(asked, data=given["data"], effort=given["effort"])
        folders = [f for f in dict.fromkeys([*folders, root(given)]) if any(f.glob("**/record.json"))]
    found = privacy.read(folders, asked)
    if folders and not found:
        what = (
            "model, weights and wire type" if given["audit"] == "none" else "model, weights, data, effort and wire type"
        )
        hint = "; --data names what the weights were trained on" if given["model"] and not given["data"] else ""
        typer.echo(f"splitward: no record below --runs is of this {what}, so none says anything{hint}.", err=True)
    return found


def _audited(found: Plan, known: dict[Target, Evidence], given: dict[str, Any]) -> Plan:
    """The plan after audits: until the choice is certain, or of every row."""
    from splitward.cli.plan_audits import audit_missing

    return audit_missing(found, known, given)


def _answer(found: Plan, given: dict[str, Any]) -> int:
    import json

    from splitward.core.errors import UsageError
    from splitward.plan import document, explain

    if given["as_json"]:
        typer.echo(json.dumps(document.document(found), indent=1, allow_nan=False))
    else:
        from rich.console import Console

        from splitward.cli.plan_tables import render

        Console().print(render(found))
    if given["report"] is not None:
        from splitward.report.plan import write

        write(document.document(found), given["report"])
    if found.best is None:
        raise UsageError(explain.infeasible(found))
    if given["out"] is not None:
        try:
            given["out"].write_text(document.audit_settings(found, given["data"]))
        except OSError as error:
            raise UsageError(f"{given['out']} cannot be written: {error.strerror}.") from error
    return 0
