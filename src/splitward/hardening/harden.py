"""From settings to hardened halves: the ground, the search, the judgement, the document."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from splitward.audit.settings import AuditSettings
from splitward.audit.sweep import Scene, load_scene
from splitward.core.defence import Chain
from splitward.core.errors import UsageError
from splitward.core.knowledge import Samples
from splitward.core.run import Progress, Run, Silent
from splitward.hardening.assembly import refuse_several
from splitward.hardening.document import Document, Judged, Tried, concluded
from splitward.hardening.judging import Court
from splitward.hardening.proxy import measure
from splitward.hardening.search import Candidate, Ground, Search, candidates, parted
from splitward.hardening.settings import HardenSettings
from splitward.models.making import machine
from splitward.split.halves import export

CLAIM = "harden.json"
"""In the folder: the settings that everything in it was made with."""
RECOMMENDED = "recommended"

Say = Callable[[str], None]


def run_settings(
    settings: HardenSettings, progress: Progress | None = None, command: str = "", say: Say | None = None
) -> Document:
    """Search, judge and write; the document names the recommended halves. Goes on where it was interrupted."""
    candidates(settings)  # a recipe that cannot be read is refused before any work
    scene = load_scene(
        AuditSettings(
            model=settings.model,
            data=settings.data,
            at=settings.at,
            normalise=settings.normalise,
            input=settings.input,
            weights=settings.weights,
            data_dir=settings.data_dir,
            trust=settings.trust,
        )
    )
    if not scene.dataset.classes or not scene.victim.classes:
        raise UsageError(f"{settings.model} on {scene.dataset.name} is no classification: a hardening needs classes.")
    if settings.count > scene.dataset.counts[2]:
        raise UsageError(
            f"{settings.count} secrets were asked for and {scene.dataset.name} holds {scene.dataset.counts[2]} that "
            "nobody trains on; give fewer --samples."
        )
    run = Run(settings.seed, progress=progress or Silent())
    ground = _ground(settings, scene, run)
    claim(settings)
    search = Search(settings, ground, settings.folder, run)
    tried = list(search.rounds())
    if say is not None:
        for failed in (t for t in tried if t.failed):
            say(f"{failed.recipe} at {failed.at} was left out: {failed.failed}")
    document = _document(settings, scene, ground, tried, run, command)
    for judged in _judged(settings, scene, ground, search, tried, run, command):
        document = concluded(document.model_copy(update={"judged": (*document.judged, judged)}))
        document.save(settings.folder)
    _recommend(settings.folder, document)
    return document


def _ground(settings: HardenSettings, scene: Scene, run: Run) -> Ground:
    victim, device = scene.victim, run.device
    exported = export(victim.model, scene.public.images[:2])
    halves = {at: exported.split(at) for at in settings.at}
    for made in halves.values():
        refuse_several(made)

    def there(samples: Samples) -> Samples:
        assert samples.labels is not None
        return dataclasses.replace(samples, images=samples.images.to(device), labels=samples.labels.to(device))

    learn, selection = map(there, parted(scene.dataset.train, settings.seed))
    victim.model.to(device)
    classes, k, steps = victim.classes or 0, max(settings.observations), settings.scale.proxy_steps
    base = {
        at: measure(
            h.edge.to(device), h.cloud.to(device), Chain(), selection, classes, k=k, steps=steps, run=run.child("proxy")
        )
        for at, h in halves.items()
    }
    return Ground(victim, halves, learn, selection, classes, base)


def _judged(
    settings: HardenSettings, scene: Scene, ground: Ground, search: Search, tried: list[Tried], run: Run, command: str
) -> Iterator[Judged]:
    """Finalists first, then the device without a defence, then the papers' defences."""
    last = max(t.rung for t in tried)
    finalists = search.ranked([t for t in tried if t.rung == last and not t.failed])[: settings.scale.finalists]
    if not finalists:
        raise UsageError(f"no recipe could be trained; the first: {tried[0].failed}")
    court = Court(settings, scene, ground, settings.folder, run)
    points = [court.hardened(t, search.assembly(Candidate(t.recipe, t.at), t.rung + 1), command) for t in finalists]
    points += court.plain()
    run.progress.start("judging", len(points))
    for point in points:
        run.progress.advance(0, f"{point.recipe} at {point.at}")
        yield court.judge(point, command)
        run.progress.advance(1)
    run.progress.finish()


def _document(
    settings: HardenSettings, scene: Scene, ground: Ground, tried: list[Tried], run: Run, command: str
) -> Document:  # fmt: skip
    limits = {
        name: getattr(settings, name) for name in ("max_accuracy_drop", "max_edge_cost", "max_bytes", "max_excess")
    }
    counts = {
        "learn": len(ground.learn), "selection": len(ground.selection), "public": len(scene.public),
        "held_out": scene.dataset.counts[2], "secrets": settings.count,
    }  # fmt: skip
    return Document(
        command=command, model=settings.model, weights_sha256=scene.victim.weights_sha256, data=scene.dataset.name,
        at=settings.at, seed=settings.seed, effort=settings.effort, audit_effort=settings.judged_at,
        attacks=settings.attacks, released=settings.released, trains=settings.trains, limits=limits,
        samples=counts, machine=machine(run.device), tried=tuple(tried),
    )  # fmt: skip


def _recommend(folder: Path, document: Document) -> None:
    """Copy the recommended halves to a place of their own; none is left where none is recommended."""
    place = folder / RECOMMENDED
    if place.exists():
        shutil.rmtree(place)
    if document.recommended is not None:
        shutil.copytree(folder / document.judged[document.recommended].halves, place)


def claim(settings: HardenSettings) -> None:
    """Make the folder ours, or see that it is. Raises UsageError where it holds something else."""
    folder, wanted = settings.folder, settings.numeric()
    file = folder / CLAIM
    if file.exists():
        try:
            held = json.loads(file.read_text(encoding="utf-8"))
            differing = sorted(k for k in wanted.keys() | held.keys() if held.get(k) != wanted.get(k))
        except (OSError, ValueError, AttributeError) as error:
            raise UsageError(f"{file} cannot be read: {error}; name another --out.") from error
        if differing:
            raise UsageError(
                f"{folder} holds a hardening with another {' and '.join(differing)}; name another --out, or remove it."
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder and no hardening of ours; name another --out.")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(wanted, indent=1, sort_keys=True) + "\n", encoding="utf-8")
