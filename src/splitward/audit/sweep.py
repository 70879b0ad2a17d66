"""From settings to records: one audit for each pair of cut and defence, into one folder each, resumable."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitward.audit.bench import Bench
from splitward.audit.estimate import estimate
from splitward.audit.loop import Cast, Settings, audit, cast, world_of
from splitward.audit.settings import AuditSettings, slug
from splitward.audit.suite import Entry, repeated, suite
from splitward.audit.target import Target
from splitward.audit.unlike import refuse_misfit
from splitward.core.defence_text import parse_chain
from splitward.core.errors import UsageError
from splitward.core.knowledge import Samples
from splitward.core.run import Progress, Run, Silent
from splitward.data.auxiliary import KINDS, held_by_attackers
from splitward.data.dataset import Dataset, load, refuse_overlap
from splitward.models.zoo import Victim, load_model, parse_shape
from splitward.record import schema
from splitward.split.halves import export

if TYPE_CHECKING:
    from splitward.audit.from_wire import Matched

CLAIM = "audit.json"
"""In a run's folder: the settings that its trials were made with."""


@dataclasses.dataclass(frozen=True)
class Scene:
    """What the settings name, loaded and seen to fit together."""

    victim: Victim
    dataset: Dataset
    public: Samples
    data: schema.Data


def load_scene(settings: AuditSettings) -> Scene:
    """Model and data. Raises a SplitwardError of one sentence for anything that is missing or does not fit."""
    shape = parse_shape(settings.input) if settings.input else None
    victim = load_model(
        settings.model, data=settings.data, trust=settings.trust, normalise=settings.normalise, input=shape,
        weights=settings.weights, data_dir=settings.data_dir,
    )  # fmt: skip
    channels, height, width = victim.input.shape
    dataset = load(settings.data, data_dir=settings.data_dir, input=(channels, height, width))
    refuse_overlap(public=dataset.public, secrets=dataset.held_out)  # train is apart by the data set's own making
    public = held_by_attackers(
        settings.public, dataset, settings.public_samples, data_dir=settings.data_dir, seed=settings.seed
    )
    if settings.public != KINDS[0]:
        refuse_overlap(public=public, secrets=dataset.held_out)
    data = schema.Data(
        name=dataset.name, train=dataset.counts[0], classes=len(dataset.classes),
        degrees_of_freedom=dataset.degrees_of_freedom, note=dataset.note, public_from=settings.public,
    )  # fmt: skip
    return Scene(victim, dataset, public, data)


def claim(folder: Path, settings: AuditSettings) -> None:
    """Make the folder ours, or see that it is: raises UsageError where it holds an audit of other settings."""
    file = folder / CLAIM
    wanted = settings.numeric()
    if file.exists():
        try:
            held = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise UsageError(f"{file} cannot be read: {error}; name another --out.") from error
        if held != wanted:
            differing = sorted(k for k in wanted.keys() | held.keys() if held.get(k) != wanted.get(k))
            raise UsageError(
                f"{folder} holds an audit with another {' and '.join(differing)}; name another --out, or remove it."
            )
    elif folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and (folder / "record.json").exists())):
        raise UsageError(f"{folder} is not an empty folder and no audit of ours; name another --out.")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(wanted, indent=1, sort_keys=True) + "\n")


def _announce(
    entries: list[Entry], targets: list[Target], roles: Cast, numbers: Settings, run: Run, say: Callable[[str], None]
) -> None:
    expected = estimate(entries, world_of(targets[-1], roles, numbers, run.device), numbers.samples)
    times = f", for each of {len(targets)} targets" if len(targets) > 1 else ""
    apart = ["not in it: an attack that optimises each image takes as long again for each kind of unlike secrets"]
    for text in (f"{expected}{times}", *(apart if numbers.unlike else []), *expected.warnings):
        say(text)


def _recorded(settings: AuditSettings, scene: Scene) -> Matched | None:
    """The recording that is to be attacked, if one is."""
    if settings.from_wire is None:
        return None
    from splitward.audit.from_wire import match

    if settings.is_sweep:
        raise UsageError("a recording is of one cut, one defence and one number of observations: audit it by itself.")
    pool, k = scene.dataset.held_out, settings.observations[0]
    return match(settings.from_wire, settings.at[0], pool, settings.samples, k, settings.seed)


def run_settings(
    settings: AuditSettings,
    progress: Progress | None = None,
    command: str = "",
    say: Callable[[str], None] | None = None,
) -> Iterator[tuple[Path, schema.Record]]:
    """Every audit of the settings, each (folder, record) as it is done; ``say`` is told what to expect beforehand."""
    chains = list(dict.fromkeys(parse_chain(text) for text in settings.chains))
    most, budgets = max(settings.observations), settings.query_budget
    entries = repeated(suite(settings.attacks, settings.effort, most), settings.attack_seeds)
    scene = load_scene(settings)
    run = Run(settings.seed, progress=progress or Silent())
    wired = _recorded(settings, scene)
    chosen = wired.chosen if wired else ()
    numbers = Settings(
        len(chosen) or settings.samples, most, settings.seed, settings.effort, settings.released, unlike=settings.unlike
    )
    roles = cast(scene.dataset.held_out, scene.public, numbers, run.device, chosen=chosen)
    exported = export(scene.victim.model, scene.public.images[:2])
    halves = {at: exported.split(at) for at in settings.at}  # refuse an unknown cut before any work
    refuse_misfit(settings.unlike, roles.secrets, roles.public, run)
    claim(settings.folder, settings)
    if say is not None and settings.effort != "quick":
        targets = [
            Target(h, c) for h in halves.values() for c in chains for _ in budgets for _ in settings.observations
        ]
        _announce(entries, targets, roles, numbers, run, say)
    floors: dict[str, Any] = {}
    judges: dict[str, Any] = {}
    for budget in budgets:
        bench = Bench(run, roles.secrets, budget, floors=floors, judges=judges)
        for at, chain, k in itertools.product(settings.at, chains, settings.observations):
            asked = "" if len(budgets) == 1 else f"-{budget if budget is not None else 'all'}-queries"
            seen = "" if len(settings.observations) == 1 else f"-seen-{k}"
            folder = settings.folder / slug(f"{at}-{chain}{asked}{seen}") if settings.is_sweep else settings.folder
            victim = scene.victim
            target = Target(
                halves[at], chain, model=victim.name, source=victim.source, trained=victim.trained,
                crossed=wired.crossed if wired else None,
            )  # fmt: skip
            if wired and wired.weights_sha256 not in (None, target.weights_sha256):
                raise UsageError(f"{settings.from_wire} was recorded with other weights than {settings.model} has now.")
            record = audit(
                target, settings.attacks, secrets=scene.dataset.held_out, public=scene.public,
                samples=chosen or settings.samples, observations=k, seed=settings.seed,
                effort=settings.effort, released=settings.released, query_budget=budget,
                unlike=settings.unlike, attack_seeds=settings.attack_seeds, out=folder, run=run, bench=bench,
                data=scene.data, command=command,
                judge=settings.judge,
            )  # fmt: skip
            yield folder, record
