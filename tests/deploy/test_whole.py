"""Export, certificates, cloud and device together: the same answers as the whole model, over a real connection."""

import numpy as np
import pytest
import torch

from runtime.servers import serving
from splitward.deploy.export import Source, export_bundles
from splitward.runtime import signing
from splitward.runtime.certificates import make_certificates
from splitward.runtime.edge import Edge
from splitward.runtime.options import Options
from splitward.split.halves import export


def device_and_cloud(folder, victim, images, at="ReLU2"):
    """Both bundles, and the folder with keys and certificates."""
    tls = folder / "tls"
    make_certificates(tls)
    signing.make_pair(tls)
    halves = export(victim.model, images[:2]).split(at)
    sources = [Source(victim.model, halves)]
    done = export_bundles(
        sources, images[:64], folder / "bundles", signing.signing_key(tls / "signing.key"), name="lenet5", offline=True
    )
    return done, tls


def same_answers(folder, victim, dataset, wires, batch=50):
    images = dataset.held_out.images
    done, tls = device_and_cloud(folder, victim, dataset.public.images)
    with torch.no_grad():
        whole = torch.cat([victim.model(part) for part in images.split(500)]).numpy()
    found = {}
    with serving(done.clouds[0], "--tls", tls, http=False) as server:
        address = server.address["grpc"].replace("127.0.0.1", "localhost")
        for wire in wires:
            options = Options(wire=wire, releases=1, zstd=wire != "fp32")
            ledger = folder / f"ledger-{wire}"
            trust = tls / "signing.pub"
            with Edge.open(done.edge, trust=trust, cloud=address, tls=tls, ledger=ledger, options=options) as edge:
                answers = list(edge.stream(part.numpy() for part in images.split(batch)))
                assert edge.counts == {"asked": len(answers), "cloud": len(answers)}
            found[wire] = np.concatenate([answer.outputs[0] for answer in answers])
    return whole, found


def test_digits_over_mutual_tls(tmp_path, lenet5_digits):
    from splitward.data.dataset import load

    digits = load("digits", input=tuple(lenet5_digits.input.shape))
    whole, found = same_answers(tmp_path, lenet5_digits, digits, ("fp32", "fp16", "int8"))
    assert np.abs(found["fp32"] - whole).max() < 1e-4
    assert (found["fp32"].argmax(1) == whole.argmax(1)).all()
    assert (found["fp16"].argmax(1) == whole.argmax(1)).mean() > 0.99
    assert (found["int8"].argmax(1) == whole.argmax(1)).mean() > 0.97


@pytest.mark.slow
@pytest.mark.mnist
def test_ten_thousand_digits_have_the_same_answers(tmp_path, lenet5_mnist, mnist):
    whole, found = same_answers(tmp_path, lenet5_mnist, mnist, ("fp32",))
    assert len(whole) == 10_000
    print(np.abs(found["fp32"] - whole).max())
    assert (found["fp32"].argmax(1) == whole.argmax(1)).all()
    assert np.abs(found["fp32"] - whole).max() < 1e-4
