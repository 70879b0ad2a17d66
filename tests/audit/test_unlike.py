"""Secrets unlike the public data: what they are, that nothing is prepared for them, and resuming."""

import dataclasses

import numpy as np
import pytest
import torch

import splitward as sw
from audit.doubles import Gradient, entry
from splitward.audit import unlike
from splitward.audit.bench import Bench
from splitward.audit.settings import AuditSettings, read_settings
from splitward.audit.sweep import run_settings
from splitward.audit.unlike import UNLIKE
from splitward.core.errors import UsageError
from splitward.core.knowledge import Samples, WhiteBox
from splitward.core.run import Run
from splitward.record.store import canonical, finished_floors, finished_trials

CPU = torch.device("cpu")
RUN = Run(0, CPU)


@pytest.fixture(scope="module")
def secrets():
    return Samples(torch.rand(7, 3, 6, 6, generator=torch.Generator().manual_seed(1)), None)


@pytest.fixture(scope="module")
def others():
    return Samples(torch.rand(9, 3, 6, 6, generator=torch.Generator().manual_seed(2)), None)


def test_rotated_and_inverted_are_made_of_the_secrets(secrets, others):
    rotated = unlike.make("rotated", secrets, others, RUN)
    assert torch.equal(rotated[:, :, 0], secrets.images[:, :, :, -1])  # the right column is the top row
    assert torch.equal(unlike.make("inverted", secrets, others, RUN), 1 - secrets.images)


def test_shuffled_is_one_permutation_for_all_images_and_channels(secrets, others):
    shuffled = unlike.make("shuffled", secrets, others, RUN)
    places = torch.arange(36.0).view(1, 1, 6, 6).expand(7, 3, 6, 6) / 36
    moved = unlike.make("shuffled", Samples(places, None), others, RUN)
    order = (moved[0, 0].flatten() * 36).round().long()
    assert sorted(order.tolist()) == list(range(36))
    assert order.tolist() != list(range(36))
    assert torch.equal(shuffled.flatten(2), secrets.images.flatten(2)[:, :, order])
    assert torch.equal(shuffled, unlike.make("shuffled", secrets, others, Run(0, CPU)))
    assert not torch.equal(shuffled, unlike.make("shuffled", secrets, others, Run(1, CPU)))


@pytest.mark.parametrize(("shape", "count"), [((7, 3, 6, 6), 7), ((120, 1, 25, 25), 100), ((4, 4, 12, 20), 4)])
def test_faces_are_persons_in_the_targets_shape(shape, count):
    faces = unlike.make("faces", Samples(torch.zeros(shape), None), Samples(torch.zeros(2, *shape[1:]), None), RUN)
    assert faces.shape == (count, *shape[1:])
    assert faces.min() >= 0
    assert faces.max() <= 1
    assert torch.equal(faces[:, :1].expand_as(faces), faces)  # grey in every channel
    assert len(set(faces.flatten(1).sum(1).tolist())) == count
    if shape[2:] == (25, 25):
        dataset = sw.load_data("faces")
        persons = torch.cat([r.images[r.labels == 0] for r in (dataset.train, dataset.public, dataset.held_out)])
        assert {f.numpy().tobytes() for f in faces} == {p.numpy().tobytes() for p in persons}


def test_what_is_not_unlike_is_refused(secrets, others):
    with pytest.raises(UsageError, match="cannot be rotated"):
        unlike.make("rotated", Samples(torch.zeros(1, 1, 4, 5), None), others, RUN)
    faces = sw.load_data("faces")
    with pytest.raises(UsageError, match="faces are not unlike"):
        unlike.make("faces", faces.held_out, faces.public, RUN)
    with pytest.raises(UsageError, match="rotated, inverted, shuffled, faces"):
        unlike.refuse_unknown(["upside-down"])


@dataclasses.dataclass(frozen=True)
class Exact(Gradient):
    """Solves a linear edge for the pixels: it knows nothing of what pictures look like."""

    name = "exact"

    def prepare(self, knowledge: WhiteBox, run):
        PREPARED.append(self.name)
        shape = knowledge.input.shape
        basis = torch.eye(int(np.prod(shape))).view(-1, *shape)
        base = knowledge.edge(torch.zeros(1, *shape)).flatten(1).double()
        columns = knowledge.edge(basis).flatten(1).double() - base
        run.record_loss("closed form", 0, 0.0)

        def invert(sent):
            wanted = sent[0].mean(1).flatten(1).double() - base
            solved = torch.linalg.lstsq(columns.T, wanted.T).solution.T
            return solved.float().clamp(0, 1).view(-1, *shape)

        return invert


PREPARED = []


@pytest.fixture(scope="module")
def linear(model, public):
    return sw.split(model, public.images[:2], at="conv1")


def run_audit(halves, pool, public, *attacks, defence="none", **options):
    target = sw.Target(halves, sw.defence(defence))
    given = {"effort": "quick", "released": "none", "samples": 12, "unlike": UNLIKE, "run": Run(0, CPU), "judge": False}
    options = given | options
    named = [a if hasattr(a, "attack") else entry(a) for a in attacks]
    return sw.audit(target, named, secrets=pool, public=public, **options)


@pytest.fixture(scope="module")
def audited(linear, pool, public):
    PREPARED.clear()
    record = run_audit(linear, pool, public, Exact(), released="label")
    return record, list(PREPARED)


def test_every_kind_comes_back_from_an_exact_inverter_and_from_no_floor(audited):
    record, _ = audited
    assert [u.name for u in record.unlike] == list(UNLIKE)
    for kind in record.unlike:
        (trial,) = kind.trials
        assert trial.metrics["ssim"].mean > 0.99, kind.name
        assert {f.name for f in kind.floors} == {"allowed", "prior/mean", "prior/best"}
        for floor in kind.floors:
            assert floor.metrics["ssim"].mean < 0.6, (kind.name, floor.name)
        assert trial.believable == record.trials[0].believable
    shuffled = record.unlike[2]
    assert max(f.metrics["ssim"].mean for f in shuffled.floors) < 0.2


def test_nothing_is_prepared_anew(audited):
    _, prepared = audited
    assert prepared == ["exact"]


def test_pictures_and_scores_belong_together(audited, pool):
    record, _ = audited
    tensors = record.tensors
    metric = dict.fromkeys(record.unlike[0].trials[0].metrics)
    assert "mse" in metric
    for kind in record.unlike:
        truth = tensors[kind.tensor]
        assert truth.shape == (kind.samples, 1, 16, 16)
        for part in kind.scored:
            errors = ((tensors[part.tensor] - truth) ** 2).mean((1, 2, 3))
            assert part.per_sample["mse"] == pytest.approx(errors.tolist(), abs=1e-5)
    assert np.array_equal(tensors["unlike/inverted/secrets"], 1 - tensors["secrets"])


def test_the_allowed_floor_is_told_the_released_answers_of_these_secrets(linear, pool, public, monkeypatch):
    """Another answer, another guess: the class means of the answered classes, computed here by hand."""
    record = run_audit(linear, pool, public, Exact(), released="label", unlike=("inverted",))
    floor = next(f for f in record.unlike[0].floors if f.name == "allowed")
    own = next(f for f in record.floors if f.name == "allowed")
    guesses = record.tensors[floor.tensor], record.tensors[own.tensor]
    model = torch.nn.Sequential(linear.edge, linear.cloud)
    labels = [model(torch.from_numpy(record.tensors[k])).argmax(1) for k in ("unlike/inverted/secrets", "secrets")]
    assert not torch.equal(*labels)
    for i, label in enumerate(labels[0].tolist()):
        for j, other in enumerate(labels[1].tolist()):
            same = np.abs(guesses[0][i] - guesses[1][j]).max() < 1e-3
            assert same or label != other  # the same label, the same guess


def test_without_being_asked_nothing_is_done(linear, pool, public):
    record = run_audit(linear, pool, public, Exact(), unlike=())
    assert record.unlike == ()
    assert not any(name.startswith("unlike") for name in record.tensors)
    plain = canonical(run_audit(linear, pool, public, Exact()))
    assert plain.pop("unlike")
    bare = canonical(record)
    assert bare.pop("unlike") == []
    assert plain == bare  # the audit's own numbers are the same


@dataclasses.dataclass(frozen=True)
class Choosy(Exact):
    """Fails on what has not as many samples as the audit's own secrets, or is inverted."""

    name = "choosy"

    def prepare(self, knowledge: WhiteBox, run):
        invert = super().prepare(knowledge, run)

        def choosy(sent):
            pixels = invert(sent)
            if float(pixels[:, :, 0, 0].mean()) > 0.5:
                raise RuntimeError("too bright\nfor me")
            return pixels

        return choosy


def test_an_attack_that_fails_there_says_why_and_keeps_its_trial(linear, pool, public):
    dark = Samples(pool.images * 0.4, pool.labels)
    record = run_audit(linear, dark, Samples(public.images * 0.4, public.labels), Choosy(), unlike=("inverted",))
    assert record.trials[0].status == "ok"
    (trial,) = record.unlike[0].trials
    assert (trial.status, trial.reason, trial.tensor) == ("failed", "RuntimeError: too bright for me", None)


def same_tensors(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert np.array_equal(first[name], second[name]), name


def test_two_runs_give_the_same_bytes(linear, pool, public, tmp_path):
    for name in ("a", "b"):
        run_audit(linear, pool, public, Exact(), defence="dropout:0.3", out=tmp_path / name)
    a, b = (sw.load(tmp_path / name) for name in ("a", "b"))
    assert canonical(a) == canonical(b)
    assert (tmp_path / "a" / "tensors.safetensors").read_bytes() == (
        tmp_path / "b" / "tensors.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    "when",
    [
        "between trials",
        pytest.param("between kinds", marks=pytest.mark.slow),
        pytest.param("before the floors are done", marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_audit_goes_on_to_the_same_record(linear, pool, public, tmp_path, monkeypatch, when):
    named = [dataclasses.replace(entry(Exact(steps=i)), name=f"exact:{i}") for i in range(2)]
    released = "label" if when.startswith("before") else "none"  # what a label gives away takes seconds

    def go(out):
        return run_audit(linear, pool, public, *named, defence="gaussian:0.1", released=released, out=out)

    whole, torn = go(tmp_path / "whole"), tmp_path / "torn"
    recover, keep_floor = Bench.recover, unlike.store.append_floor

    def dies(self, *arguments):
        done = len(finished_trials(torn))
        if done == {"between trials": 5, "between kinds": 7}.get(when):
            raise KeyboardInterrupt
        return recover(self, *arguments)

    def dies_at_a_floor(*arguments):
        if when.startswith("before") and len(finished_floors(torn)) == 8:
            raise KeyboardInterrupt
        keep_floor(*arguments)

    monkeypatch.setattr(Bench, "recover", dies)
    monkeypatch.setattr(unlike.store, "append_floor", dies_at_a_floor)
    with pytest.raises(KeyboardInterrupt):
        go(torn)
    monkeypatch.setattr(Bench, "recover", recover)
    monkeypatch.setattr(unlike.store, "append_floor", keep_floor)
    finished = set(finished_trials(torn))
    calls = []
    monkeypatch.setattr(Bench, "recover", lambda *a: calls.append(a) or recover(*a))
    resumed = go(torn)
    assert len(calls) == 4 * len(resumed.trials) - sum(t.key in finished for u in whole.unlike for t in u.trials)
    assert canonical(resumed) == canonical(whole)
    same_tensors(sw.load(torn).tensors, sw.load(tmp_path / "whole").tensors)


def test_the_setting_is_read_and_named_where_it_is_wrong(tmp_path):
    given = {"model": "lenet5", "data": "digits", "at": "ReLU2"}
    assert read_settings(None, given).unlike == ()
    assert read_settings(None, given | {"unlike": "rotated, faces"}).unlike == ("rotated", "faces")
    file = tmp_path / "AUDIT.toml"
    file.write_text('model = "lenet5"\ndata = "digits"\nat = "ReLU2"\nunlike = ["shuffled"]\n')
    assert read_settings(file, {}).unlike == ("shuffled",)
    with pytest.raises(UsageError, match="unlike"):
        read_settings(None, given | {"unlike": "mirrored"})


def test_a_folder_from_before_the_setting_existed_can_be_gone_on_with():
    given = {"model": "lenet5", "data": "digits", "at": ("ReLU2",)}
    assert "unlike" not in AuditSettings(**given).numeric()
    assert AuditSettings(**given, unlike=("faces",)).numeric()["unlike"] == ["faces"]


def test_what_cannot_be_made_is_refused_before_the_folder_is_claimed(tmp_path):
    given = {"model": "lenet5", "data": "faces", "at": ("ReLU2",), "unlike": ("faces",), "samples": 5}
    with pytest.raises(UsageError, match="leave out `faces`"):
        next(run_settings(AuditSettings(**given, out=tmp_path / "run")))
    assert not (tmp_path / "run").exists()
