"""Run folders: ``record.json`` beside ``tensors.safetensors``, and finished trials while a run goes on.

Every file appears whole or not at all (written beside its place, then renamed). What is read is not trusted: neither
file can run code, and one that is not what it claims is refused with a RecordError of one sentence. Pixels are private:
the tensors are readable by their owner only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from splitward.core.errors import RecordError
from splitward.record import files
from splitward.record.part import Part
from splitward.record.schema import SCHEMA_VERSION, Floor, Record, Trial, Unlike

Array = NDArray[Any]

RECORD, TENSORS, TRIALS, FLOORS, REPORT = "record.json", "tensors.safetensors", "trials", "floors", "report.html"

PIXEL_SLACK = 1e-4
"""How far outside [0, 1] a stored pixel may lie: the rounding of half precision, no more."""

P = TypeVar("P", bound=Part)
R = TypeVar("R", Record, Unlike)


def save(record: Record, folder: Path | str, tensors: Mapping[str, Array] | None = None) -> Path:
    """Write ``record`` and ``tensors`` (by default those attached to it) to ``folder`` and return the folder.

    The record is written last: a folder with a ``record.json`` is complete. The same record gives the same bytes.
    Raises RecordError where the numbers do not fit together, or nothing can be written there.
    """
    folder = Path(folder)
    arrays = dict(record.tensors if tensors is None else tensors)
    _refuse_misfit(record, folder)
    if record.redacted and arrays:
        raise RecordError(f"{folder}: the record is redacted, so no tensors may be saved beside it.")
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if arrays:
            _refuse_tensors(record, arrays, str(folder / TENSORS))
            files.write_tensors(folder / TENSORS, arrays)
        elif record.redacted:
            (folder / TENSORS).unlink(missing_ok=True)
        files.write_json(folder / RECORD, record.model_dump(mode="json"))
    return folder


def load(folder: Path | str) -> Record:
    """The record of a run folder (or of a ``record.json``); its ``tensors`` are read when they are first asked for.

    Raises RecordError where there is none, it is not a record, or a newer splitward wrote it.
    """
    path = _record_path(Path(folder))
    data = files.read_json(path)
    version = data.get("schema_version") if isinstance(data, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise RecordError(f"{path} is no record of splitward: it has no schema_version.")
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{path} has schema version {version} and this splitward reads up to {SCHEMA_VERSION}: update splitward."
        )
    record = _parse(Record, data, path)
    _refuse_misfit(record, path)
    if not record.redacted:
        record.attach(lambda: load_tensors(path.parent, record))
    return record


def load_tensors(folder: Path | str, record: Record | None = None) -> dict[str, Array]:
    """Secrets (N, C, H, W), labels (N,) and reconstructions of a run folder, by the key that the record names.

    Raises RecordError where the folder is redacted, the file is missing or damaged, or a shape, a data type or a pixel
    is not what the record says.
    """
    folder = _record_path(Path(folder)).parent
    record = load(folder) if record is None else record
    path = folder / TENSORS
    if record.redacted:
        raise RecordError(f"{folder} is redacted: it holds the numbers of the audit, and no images.")
    if not path.is_file():
        raise RecordError(f"{folder} has no {TENSORS}: the images of this run were removed or never saved.")
    arrays = files.read_tensors(path)
    _refuse_tensors(record, arrays, str(path))
    return arrays


def runs_in(folder: Path | str) -> list[Path]:
    """The run folder itself, or the run folders directly inside a sweep's folder, by name.

    Raises RecordError where there is none.
    """
    folder = Path(folder)
    if folder.name == RECORD and folder.is_file():
        return [folder.parent]
    if (folder / RECORD).is_file():
        return [folder]
    if not folder.is_dir():
        raise RecordError(f"{folder} is no folder: give the folder that `splitward audit --out` wrote.")
    runs = sorted(child for child in folder.iterdir() if (child / RECORD).is_file())
    if not runs:
        raise RecordError(f"{folder} holds no finished run: neither it nor a folder in it has a {RECORD}.")
    return runs


def runs_below(folder: Path | str) -> list[Path]:
    """All run folders inside a folder, however deep, by path; itself where it is one. Raises RecordError for none."""
    runs = sorted(path.parent for path in Path(folder).rglob(RECORD))
    return runs or runs_in(folder)


@overload
def redact(what: Record) -> Record: ...
@overload
def redact(what: Path | str) -> Record: ...
def redact(what: Record | Path | str) -> Record:
    """Drop the pixels and keep the numbers, of a record in memory or of a run folder on disk; returns the record.

    In a folder the tensors, the unfinished trials' and a report (which shows images) are deleted *before* the record
    says that it is redacted, so that an interruption never leaves images behind a record that denies them.
    """
    if isinstance(what, Record):
        unlike = tuple(_bare(u).model_copy(update={"tensor": None}) for u in what.unlike)
        bare = _bare(what).model_copy(update={"redacted": True, "unlike": unlike})
        bare.attach({})
        return bare
    folder = _record_path(Path(what)).parent
    record = redact(load(folder))
    with _writing(folder):
        clear_unfinished(folder)
        for name in (TENSORS, REPORT):
            (folder / name).unlink(missing_ok=True)
        files.write_json(folder / RECORD, record.model_dump(mode="json"))
    return record


def _bare(what: R) -> R:
    """Without the keys of tensors."""
    update = {
        "floors": tuple(f.model_copy(update={"tensor": None}) for f in what.floors),
        "trials": tuple(t.model_copy(update={"tensor": None}) for t in what.trials),
    }
    return what.model_copy(update=update)


def append_trial(folder: Path | str, key: str, trial: Trial, tensor: Array | None) -> None:
    """Keep a finished trial under its content address ``key``, so that an interrupted run need not repeat it."""
    _append(Path(folder) / TRIALS, key, trial, tensor)


def finished_trials(folder: Path | str) -> dict[str, tuple[Trial, Array | None]]:
    """What ``append_trial`` kept, by key; empty where there is nothing. Torn or foreign files are passed over."""
    return dict(_finished(Path(folder) / TRIALS, Trial))


def append_floor(folder: Path | str, key: str, floor: Floor, tensor: Array | None) -> None:
    """As append_trial, for a floor: a decoder of a released answer takes as long as an attack."""
    _append(Path(folder) / FLOORS, key, floor, tensor)


def finished_floors(folder: Path | str) -> dict[str, tuple[Floor, Array | None]]:
    """What ``append_floor`` kept, by key."""
    return dict(_finished(Path(folder) / FLOORS, Floor))


def clear_unfinished(folder: Path | str) -> None:
    """Remove the single trials and floors of a run whose record is written: they hold its images a second time."""
    with _writing(Path(folder)):
        for name in (TRIALS, FLOORS):
            if (Path(folder) / name).is_dir():
                shutil.rmtree(Path(folder) / name)


def canonical(record: Record) -> dict[str, Any]:
    """The record without times and without what belongs to the machine: the same seed gives an equal dictionary.

    Left out: ``created``, ``command``, ``environment`` and every ``seconds``.
    """
    data = record.model_dump(mode="json", exclude={"created", "command", "environment"})
    for group in (data, *data["unlike"]):
        for part in (*group["floors"], *group["trials"]):
            del part["seconds"]
    if data["judge"]:
        del data["judge"]["seconds"]
    return data


def _append(folder: Path, key: str, part: Part, tensor: Array | None) -> None:
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if tensor is not None:
            files.write_tensors(folder / f"{name}.safetensors", {"guess": tensor})
        entry = {"key": key, "tensor": tensor is not None, "part": part.model_dump(mode="json")}
        files.write_json(folder / f"{name}.json", entry)  # last: with it the trial counts as finished


def _finished(folder: Path, kind: type[P]) -> Iterator[tuple[str, tuple[P, Array | None]]]:
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(RecordError, KeyError, TypeError, AttributeError):
            entry = files.read_json(path)
            if path.stem != hashlib.sha256(entry["key"].encode()).hexdigest()[:32]:
                continue
            part = _parse(kind, entry["part"], path)
            guess = files.read_tensors(path.with_suffix(".safetensors"))["guess"] if entry["tensor"] else None
            yield entry["key"], (part, guess)


def _record_path(folder: Path) -> Path:
    path = folder if folder.name == RECORD else folder / RECORD
    if not path.is_file():
        raise RecordError(f"{folder} is no run folder: it holds no {RECORD}; `splitward audit --out` makes one.")
    return path


def _parse(kind: type[P], data: Any, path: Path) -> P:
    """Strictly: no string passes for a number, no unknown field is dropped in silence."""
    try:
        return kind.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise RecordError(f"{path} is no record of splitward: {where}: {first['msg']}{more}.") from error


def _refuse_misfit(record: Record, path: Path) -> None:
    """Every score belongs to a sample: lists of another length would be compared with the wrong secrets."""
    groups: tuple[Record | Unlike, ...] = (record, *record.unlike)
    for group in groups:
        for part in group.scored:
            name = part.name if isinstance(part, Floor) else part.attack
            played = ((f"the game by {g.judge}, {k}", v) for g in part.games for k, v in g.per_sample.items())
            for metric, values in (*part.per_sample.items(), *played):
                if len(values) != group.samples:
                    raise RecordError(
                        f"{path}: {name!r} has {len(values)} values of {metric} and the record {group.samples} samples."
                    )
    keys = list(_images(record))
    if len(set(keys)) != len(keys):
        raise RecordError(f"{path}: two floors or trials name the same tensor.")


def _images(record: Record) -> Iterator[str]:
    """The key of every tensor of images that the record names, but its own secrets'."""
    for part in (*record.scored, *record.unlike, *(p for u in record.unlike for p in u.scored)):
        if part.tensor is not None:
            yield part.tensor


def _refuse_tensors(record: Record, arrays: Mapping[str, Array], path: str) -> None:
    shape = record.target.input.shape
    images = {"secrets": record.samples} | dict.fromkeys(_images(record), record.samples)
    for unlike in record.unlike:
        own = {part.tensor for part in (unlike, *unlike.scored) if part.tensor is not None}
        images |= dict.fromkeys(own, unlike.samples)
    if missing := sorted(set(images) - set(arrays)):
        raise RecordError(f"{path} lacks the tensor {missing[0]!r}, which the record names.")
    if unknown := sorted(set(arrays) - set(images) - {"labels"}):
        raise RecordError(f"{path} holds a tensor {unknown[0]!r} that the record does not name.")
    for name, samples in sorted(images.items()):
        array, due = arrays[name], (samples, *shape)
        if array.shape != due or array.dtype != np.float32:
            raise RecordError(f"{path}: {name!r} is {array.dtype} of shape {array.shape}; float32 of {due} is due.")
        if not bool(((array >= -PIXEL_SLACK) & (array <= 1 + PIXEL_SLACK)).all()):
            raise RecordError(f"{path}: {name!r} holds pixels outside [0, 1].")
    labels = arrays.get("labels")
    if labels is not None and (labels.shape != (record.samples,) or labels.dtype != np.int64):
        raise RecordError(
            f"{path}: 'labels' is {labels.dtype} of shape {labels.shape}; int64 of {(record.samples,)} is due."
        )


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RecordError(f"{folder} cannot be written to: {error.strerror or error}.") from error
