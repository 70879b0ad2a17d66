"""Small bundles made without torch: a cloud half of two ONNX nodes, and an edge that fits it."""

import numpy as np
from onnx import TensorProto, helper

from splitward.runtime import codes
from splitward.runtime import manifest as m
from splitward.runtime.bundle import describe, write_bundle
from splitward.runtime.encoding import CODES

SHAPE = (4, 3)


def model(inputs, outputs, nodes, initializers=()):
    graph = helper.make_graph(nodes, "half", inputs, outputs, list(initializers))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return made.SerializeToString()


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, ["batch", *shape])


def linear(seed=0):
    """(N, 4, 3) to (N, 5): flattened, times a random matrix."""
    weights = np.random.default_rng(seed).standard_normal((12, 5)).astype(np.float32)
    tensor = helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.flatten())
    nodes = [
        helper.make_node("Flatten", ["activation_0"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["output_0"]),
    ]
    return model([value("activation_0", SHAPE)], [value("output_0", (5,))], nodes, [tensor]), weights


def cloud_manifest(half, name="toy", version="1", activation=None, outputs=None):
    return m.CloudManifest(
        name=name, version=version, versions={"splitward": "0"}, opset=20, half="cloud.onnx",
        activation=activation or (m.Tensor(name="activation_0", dtype="float32", shape=SHAPE),),
        outputs=outputs or (m.Tensor(name="output_0", dtype="float32", shape=(5,)),),
        files=describe({"cloud.onnx": half}),
    )  # fmt: skip


def write_cloud(folder, key, name="toy", version="1", seed=0):
    """A bundle of ``linear``; returns its matrix (12, 5)."""
    half, weights = linear(seed)
    write_bundle(folder, cloud_manifest(half, name, version), {"cloud.onnx": half}, key)
    return weights


def edge_manifest(contents, cut):
    return m.EdgeManifest(
        name="toy", version="1", created="2026-01-01T00:00:00+00:00", versions={"splitward": "0"}, opset=20,
        input=m.Tensor(name="pixels", dtype="float32", shape=(1, 4, 3)),
        normalise=m.Normalisation(mean=(0.5,), std=(0.5,)), cuts=(cut,), files=describe(contents),
    )  # fmt: skip


def edge_cut(cloud, **changes):
    fields = {
        "cut": "relu", "half": "edge-1.onnx", "defence": "gaussian:0.5", "audited": None,
        "activation": cloud.activation, "outputs": cloud.outputs,
        "cloud": m.CloudHalf(name=cloud.name, version=cloud.version, pairing=cloud.pairing),
        "parity": m.Parity(samples=2, edge=0.0, cloud=0.0, chain=0.0, same_argmax=True),
    }  # fmt: skip
    return m.EdgeCut(**(fields | changes))


def sendable(array, form):
    """The numbers of ``array`` as the encoding ``form`` can carry them: for few bits, those that are sent for them."""
    bits = CODES.get(form.removesuffix("+zstd"))
    return array if bits is None else codes.restore(codes.nearest(array, bits), bits)
