"""What is exported computes what the model computes, is bound to what was audited, and tells the cloud nothing else."""

import dataclasses
import json

import msgspec
import numpy as np
import onnx
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from splitward.audit.environment import environment
from splitward.audit.target import Target
from splitward.cli.main import app
from splitward.core.defence_text import parse_chain
from splitward.core.edge import Normalise, Normalised
from splitward.core.errors import BundleError, CutError, DefenceError
from splitward.deploy.export import Source, export_bundles
from splitward.deploy.halves import to_onnx
from splitward.models.zoo import load_model
from splitward.record import schema
from splitward.runtime.bundle import read_cloud, read_edge
from splitward.runtime.normalise import normalise
from splitward.runtime.session import Session
from splitward.runtime.signing import make_pair, signing_key, trusted_keys
from splitward.split import split


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    make_pair(folder)
    return folder


class Small(nn.Module):
    """A residual block, so that at ``first`` two tensors cross; ``seed`` is of the layers before that cut only."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(100 + seed)
            self.early = nn.Conv2d(1, 4, 3, padding=1)
            self.secret_layer = nn.Conv2d(4, 4, 3, padding=1)
            torch.manual_seed(7)
            self.late = nn.Conv2d(4, 4, 3, padding=1)
            self.head = nn.Linear(4 * 12 * 12, 3)

    def forward(self, x):
        early = self.early(x).relu()
        middle = self.secret_layer(early)
        return self.head((self.late(middle.relu()) + early).flatten(1))


def images(count=12):
    return torch.rand(count, 1, 12, 12, generator=torch.Generator().manual_seed(0))


def source(seed=0, at="secret_layer", **fields):
    whole = Normalised(Normalise((0.3,), (0.7123,)), Small(seed)).eval().requires_grad_(False)
    return Source(whole, split(whole, images(2), at=at), **fields)


def exported(folder, keys, *sources, **how):
    key = signing_key(keys / "signing.key")
    return export_bundles(sources or [source()], images(), folder, key, name="small", **how)


def sessions(edge, cloud, k=0):
    """The halves of the k-th cut, as edge and cloud run them."""
    cut = edge.manifest.cuts[k]
    values = Session(edge.contents[cut.half], (edge_input(edge),), cut.activation)
    return values, Session(cloud.contents["cloud.onnx"], cloud.manifest.activation, cloud.manifest.outputs)


def edge_input(edge):
    return msgspec.structs.replace(edge.manifest.input, name="values_0")


@pytest.fixture(scope="module")
def done(tmp_path_factory, keys):
    """Two exports, of edges with other weights and another defence."""
    return [
        exported(tmp_path_factory.mktemp("done") / "out", keys, source(seed, defence=f"dropout:0.{6 + seed}25"))
        for seed in (0, 1)
    ]


def test_both_bundles_together_are_the_model(done, keys):
    done = done[0]
    trusted = trusted_keys(keys / "signing.pub")
    edge, cloud = read_edge(done.edge, trusted), read_cloud(done.clouds[0], trusted)
    cut = edge.manifest.cuts[0]
    assert len(cut.activation) == 2  # the residual crosses too
    assert cut.activation == cloud.manifest.activation
    assert cut.cloud.pairing == cloud.manifest.pairing
    first, second = sessions(edge, cloud)
    whole = source().original
    for count in (1, 2, 5, 64):
        pixels = torch.rand(count, 1, 12, 12)
        sent = first.run([normalise(pixels.numpy(), edge.manifest.normalise)])
        found = second.run(sent)[0]
        np.testing.assert_allclose(found, whole(pixels).numpy(), atol=1e-5)
        np.testing.assert_array_equal(found.argmax(1), whole(pixels).numpy().argmax(1))


def test_the_normalisation_is_torchs_to_the_bit():
    from splitward.runtime.manifest import Normalisation

    module = Normalise((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616))
    scale = Normalisation(mean=tuple(module.mean.flatten().tolist()), std=tuple(module.std.flatten().tolist()))
    pixels = torch.rand(4, 3, 8, 8)
    np.testing.assert_array_equal(normalise(pixels.numpy(), scale), module(pixels).numpy())


def test_the_cloud_bundle_does_not_contain_the_edge(done):
    """No tensor of the edge, whole or in rows of eight numbers, no layer's name, nothing of the machine."""
    one, done = source(), done[0]
    bundle = b"".join(file.read_bytes() for file in sorted(done.clouds[0].iterdir()))
    edge = {k: v.numpy().ravel() for k, v in one.halves.edge.state_dict().items()}
    assert sum(v.size for v in edge.values()) > 150
    for name, values in edge.items():
        for wide in (values.astype("<f4"), values.astype("<f2"), values.astype("<f8")):
            pieces = [wide] if wide.size < 8 else [wide[k : k + 8] for k in range(0, wide.size - 7, 8)]
            assert not any(piece.tobytes() in bundle for piece in pieces if piece.nbytes >= 4), name
    cloud = {k: v.numpy() for k, v in one.halves.cloud.state_dict().items()}
    assert all(v.tobytes() in bundle for v in cloud.values())  # the search finds what is there
    for word in (
        b"secret",
        b"early",
        b"late",
        b"dropout",
        b"0.625",
        b"0.712",
        b"torch.",
        b"/src/",
        b"packages",
        b"__main__",
    ):
        assert word not in bundle.replace(b"cloud.onnx", b""), word


def test_two_edges_have_one_cloud_bundle(done):
    for name in ("manifest.json", "cloud.onnx", "manifest.sig"):
        one, other = ((d.clouds[0] / name).read_bytes() for d in done)
        assert one == other, name
    edges = [(d.edge / "edge-1.onnx").read_bytes() for d in done]
    assert edges[0] != edges[1]


def test_names_and_remarks_are_gone_from_both_halves(done):
    for path in (done[0].edge / "edge-1.onnx", done[0].clouds[0] / "cloud.onnx"):
        model = onnx.load_from_string(path.read_bytes())
        onnx.checker.check_model(model)
        assert not model.metadata_props
        assert not model.functions
        assert not model.graph.value_info
        for node in model.graph.node:
            assert not node.doc_string
            assert not node.metadata_props
        names = {n for node in model.graph.node for n in (node.name, *node.input, *node.output)}
        names |= {w.name for w in model.graph.initializer}
        io = {v.name for v in (*model.graph.input, *model.graph.output)}
        assert all(name[0] in "vn" and name[1:].isdigit() for name in names - io - {""}), names


def test_a_defence_that_no_device_can_draw_is_refused_before_any_work(tmp_path, keys):
    with pytest.raises(DefenceError, match="cannot draw the defence 'rounding'"):
        exported(tmp_path / "out", keys, source(defence="rounding:0.5"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_several_cuts_and_the_whole_model_in_one_edge_bundle(tmp_path, keys):
    done = exported(tmp_path, keys, source(at="early"), source(at="secret_layer"), offline=True)
    trusted = trusted_keys(keys / "signing.pub")
    edge = read_edge(done.edge, trusted)
    assert [folder.name for folder in done.clouds] == ["cloud-1", "cloud-2"]
    assert [cut.cloud.name for cut in edge.manifest.cuts] == ["small-1", "small-2"]
    assert [cut.offline for cut in edge.manifest.cuts] == ["cloud-1.onnx", None]
    assert edge.contents["cloud-1.onnx"] == (done.clouds[0] / "cloud.onnx").read_bytes()
    whole, pixels = source().original, images()
    for k, folder in enumerate(done.clouds):
        first, second = sessions(edge, read_cloud(folder, trusted), k)
        found = second.run(first.run([normalise(pixels.numpy(), edge.manifest.normalise)]))[0]
        np.testing.assert_allclose(found, whole(pixels).numpy(), atol=1e-5)


@pytest.mark.slow
def test_other_weights_in_a_half_are_noticed(tmp_path, keys):
    """The halves of one model beside another original: the difference is measured, and nothing is written."""
    one = dataclasses.replace(source(), original=source(seed=1).original)
    with pytest.raises(BundleError, match="differ from the PyTorch model"):
        exported(tmp_path / "out", keys, one)
    assert not (tmp_path / "out").exists()


def test_what_has_no_place_in_a_bundle_is_refused():
    class Sum(nn.Module):
        def forward(self, x):
            return x.sum()

    class Fixed(nn.Module):
        def forward(self, x):
            return x.reshape(3, -1)

    class Brain(nn.Module):
        def forward(self, x):
            return x.to(torch.bfloat16)

    example = [torch.rand(3, 4)]
    for module in (Sum(), Fixed(), Brain()):
        with pytest.raises(CutError):
            to_onnx(module, example, "values", "activation")


# From a record


def audited(folder, observations=3, believable=True, defence="dropout:0.25", weights=None, verdict=True):
    """A run folder of LeNet-5 on digits as an audit leaves it; made up but for the model, its cut and its hash."""
    victim = load_model("lenet5", data="digits")
    halves = split(victim.model, torch.rand(2, 1, 28, 28), at="ReLU2")
    sha = weights or Target(halves, parse_chain(defence)).weights_sha256
    bound = schema.Bound(weights_sha256=sha, defence=defence, quantisation="float32")
    found = schema.Verdict(
        attack="rmle", threat_model="white-box", adaptive=True, observations=observations, metric="ssim", leakage=0.5,
        floor=0.3, floor_name="prior/best", excess=0.2, upper=0.3, worst_decile=0.4, recovered_share=0.1,
        believable=believable, effort="quick", suite="all", bound_to=bound, sentence="It leaks.",
    )  # fmt: skip
    target = schema.Target(
        model=schema.Model(name="lenet5", weights_sha256=sha), data=schema.Data(name="digits"),
        cut=schema.Cut(name="ReLU2", index=5), defence=defence, input=schema.Tensor(shape=(1, 28, 28)),
        activation=(schema.Tensor(shape=(16, 8, 8)),),
    )  # fmt: skip
    trial = schema.Trial(attack="rmle", threat_model="white-box", adaptive=True, observations=observations)
    schema.Record(
        created="2026-01-01", status="complete", samples=1, environment=environment(torch.device("cpu")), target=target,
        trials=(trial,), verdict=found if verdict else None, no_verdict="" if verdict else "No attack converged.",
        redacted=True,
    ).save(folder)  # fmt: skip
    return folder


def command(*words, status=0, **environment_):
    done = CliRunner().invoke(app, list(map(str, words)), env=environment_)
    if status:
        assert done.exception is not None
        return str(done.exception)
    assert done.exception is None, done.exception
    return done.output


def test_a_run_is_exported_with_its_verdict(tmp_path, keys):
    run = audited(tmp_path / "run")
    told = command("export", run, "--out", tmp_path / "out", "--key", keys / "signing.key", "--json")
    held = json.loads(told)
    cut = held["cuts"][0]
    assert (cut["cut"], cut["defence"]) == ("ReLU2", "dropout:0.25")
    assert cut["audited"]["observations"] == 3
    assert cut["audited"]["verdict"]["leakage"] == 0.5
    assert cut["parity"]["samples"] >= 100
    assert cut["parity"]["chain"] < 1e-4
    edge = read_edge(tmp_path / "out" / "edge", trusted_keys(keys / "signing.pub"))
    assert json.loads(msgspec.json.encode(edge.manifest)) == held
    assert "exists already" in command(
        "export", run, "--out", tmp_path / "out", "--key", keys / "signing.key", status=2
    )


def test_a_stale_record_is_refused(tmp_path, keys):
    run = audited(tmp_path / "run", weights="0" * 64)
    said = command("export", run, "--out", tmp_path / "out", "--key", keys / "signing.key", status=2)
    assert "is stale: it was made of other weights" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["verdict", "belief"])
def test_without_a_believable_verdict_only_when_asked(tmp_path, keys, missing):
    run = audited(tmp_path / "run", believable=missing != "belief", verdict=missing != "verdict")
    where = ("--out", tmp_path / "out", "--key", keys / "signing.key")
    said = command("export", run, *where, status=2)
    assert "no believable verdict at ReLU2 with dropout:0.25" in said
    assert "!" in command("export", run, *where, "--without-verdict")
    audit = read_edge(tmp_path / "out" / "edge", trusted_keys(keys / "signing.pub")).manifest.cuts[0].audited
    assert not audit.believable
    assert audit.no_verdict == ("No attack converged." if missing == "verdict" else "")


@pytest.mark.slow
def test_a_plan_leads_to_its_record(tmp_path, keys):
    run = audited(tmp_path / "runs" / "one")
    row = {"name": "ReLU2", "defence": "dropout:0.25", "latency_ms": {"edge": 2.0, "transmission": 9.0, "cloud": 0.5}}
    plan = {
        "schema_version": 1, "model": "lenet5", "wire": "float32", "cuts": [row], "choice": "ReLU2",
        "choice_defence": "dropout:0.25", "latency_source": {"edge": "modelled", "cloud": "measured"},
    }  # fmt: skip
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    where = ("--out", tmp_path / "out", "--key", keys / "signing.key")
    command("export", "--plan", path, run, *where)
    cut = read_edge(tmp_path / "out" / "edge", trusted_keys(keys / "signing.pub")).manifest.cuts[0]
    assert msgspec.to_builtins(cut.planned) == {"edge_ms": 2.0, "cloud_ms": 0.5, "source": "modelled"}
    for change, said in (
        ({"choice": None}, "chooses no cut"), ({"wire": "int8"}, "there is no record"), ({"cuts": 1}, "is no plan"),
        ({"model": "alexnet"}, "there is no record"),
    ):  # fmt: skip
        path.write_text(json.dumps(plan | change))
        assert said in command("export", "--plan", path, run, "--out", tmp_path / "other", status=2)


def test_wrong_words_are_refused(tmp_path, keys):
    where = ("--out", tmp_path / "out", "--key", keys / "signing.key")
    model = ("--model", "lenet5", "--data", "digits", "--at", "ReLU2")
    assert "nothing to export" in command("export", *where, status=2)
    assert "name --model and --data" in command("export", "--at", "ReLU2", *where, status=2)
    assert "it was not audited" in command("export", *model, *where, status=2)
    for name in ("--name=../x", "--model-version=v2", "--model-version=0"):
        assert "write --name lenet5" in command("export", *model, *where, "--without-verdict", name, status=2)
    other = ("--out", tmp_path / "out", "--key", keys / "signing.pub")
    assert "no unencrypted PEM private key" in command("export", *model, "--without-verdict", *other, status=2)
    run = audited(tmp_path / "run")
    assert "2 runs are cut at ReLU2" in command("export", run, run, *where, status=2)


def test_certs_makes_what_both_sides_need(tmp_path):
    command("certs", tmp_path / "tls", "--host", "cloud.example.org")
    names = {p.name for p in (tmp_path / "tls").iterdir()}
    pairs = {f"{role}.{kind}" for role in ("ca", "server", "client") for kind in ("pem", "key")}
    assert names == pairs | {"signing.key", "signing.pub"}
    assert "never overwritten" in command("certs", tmp_path / "tls", status=2)
    assert "no name or address" in command("certs", tmp_path / "other", "--host", "a/b", status=2)
