"""What figure 2 needs of costs: latency and energy of a network that is cut, from stated constants. *Modelled*."""

from __future__ import annotations

from dataclasses import dataclass

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Layer:
    """One layer of AlexNet: multiply-adds, weights, and bytes of its output (float32, Caffe's layout, batch 1)."""

    name: str
    operations: int
    weights: int
    output_bytes: int


ALEXNET = (
    Layer("conv1", 105_415_200, 34_848, 1_161_600),
    Layer("pool1", 0, 0, 279_936),
    Layer("conv2", 223_948_800, 307_200, 746_496),
    Layer("pool2", 0, 0, 173_056),
    Layer("conv3", 149_520_384, 884_736, 259_584),
    Layer("conv4", 112_140_288, 663_552, 259_584),
    Layer("conv5", 74_760_192, 442_368, 173_056),
    Layer("pool5", 0, 0, 36_864),
    Layer("fc6", 37_748_736, 37_748_736, 16_384),
    Layer("fc7", 16_777_216, 16_777_216, 16_384),
    Layer("fc8", 4_096_000, 4_096_000, 4_000),
)
"""Krizhevsky, Sutskever and Hinton 2012, groups of two; the sizes are derived from the shapes."""
INPUT_BYTES = 152_000
"""Of an image, as Neurosurgeon (Kang et al., ASPLOS 2017) sends it; 227 x 227 x 3 bytes are 154,587."""


@dataclass(frozen=True)
class Setting:
    """A device, its uplink and a cloud.

    ``edge_s``, ``cloud_s``: seconds of the whole network on either. ``memory_s``: of the device's seconds, those that
    go into reading weights; they are shared among layers by weights, the others by operations. ``edge_j``: energy of
    the whole network on the device. ``radio_w``: power while sending.
    """

    name: str
    edge_s: float
    memory_s: float
    cloud_s: float
    edge_j: float
    uplink_mbit_s: float
    radio_w: float
    source: str


def radio_watts(uplink_mbit_s: float, per_mbit_mw: float, base_mw: float) -> float:
    """Power of a radio while sending (Huang et al., MobiSys 2012).

    >>> round(radio_watts(1.0, 283.17, 132.86), 3)
    0.416
    """
    return (per_mbit_mw * uplink_mbit_s + base_mw) / 1000


SETTINGS = (
    Setting(
        "fast Wi-Fi, device with a GPU", 0.081, 0.016, 0.006, 0.87, 12.9, radio_watts(12.9, 283.17, 132.86),
        "Neurosurgeon: AlexNet 81 ms and 0.87 J on the mobile GPU, 6 ms on the server, upload of 152 KB in 95 ms; "
        "244 MB of weights at 14.9 GB/s (Jetson TK1, assumed) in 16 ms; radio: Huang et al. 2012, Wi-Fi",
    ),
    Setting(
        "slow Wi-Fi, device without a GPU", 0.82, 0.56, 0.006, 0.62, 1.126, 0.36 / 1.08,
        "fitted to the published bars: 0.82 s and 0.62 J on the device, 152 KB in 1.08 s for 0.36 J, and 0.56 s of "
        "reading weights so that the convolutions take the published 0.26 s; the cut and the energy are not fitted",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """One deployment: seconds and joules of the device, by what they are spent on."""

    deployment: str
    cut: str
    transmission_s: float
    edge_s: float
    cloud_s: float
    transmission_j: float
    edge_j: float

    @property
    def latency_s(self) -> float:
        """Of one inference."""
        return self.transmission_s + self.edge_s + self.cloud_s

    @property
    def energy_j(self) -> float:
        """Of the device."""
        return self.transmission_j + self.edge_j


def cost(setting: Setting, layers: int, deployment: str) -> Cost:
    """The first ``layers`` layers on the device: 0 is cloud-only, all of them edge-only (nothing is sent)."""
    operations = sum(layer.operations for layer in ALEXNET[:layers]) / sum(layer.operations for layer in ALEXNET)
    weights = sum(layer.weights for layer in ALEXNET[:layers]) / sum(layer.weights for layer in ALEXNET)
    share = operations + (weights - operations) * setting.memory_s / setting.edge_s
    sent = INPUT_BYTES if layers == 0 else 0 if layers == len(ALEXNET) else ALEXNET[layers - 1].output_bytes
    seconds = 8 * sent / (setting.uplink_mbit_s * 1e6)
    cut = "input" if layers == 0 else ALEXNET[layers - 1].name
    return Cost(
        deployment, cut, seconds, share * setting.edge_s, (1 - share) * setting.cloud_s, seconds * setting.radio_w,
        share * setting.edge_j,
    )  # fmt: skip


def deployments(setting: Setting) -> tuple[Cost, Cost, Cost]:
    """Cloud-only, edge-only, and the cut between them with the lowest latency."""
    inner = [cost(setting, n, "collaborative") for n in range(1, len(ALEXNET))]
    ends = cost(setting, 0, "cloud-only"), cost(setting, len(ALEXNET), "edge-only")
    return (*ends, min(inner, key=lambda c: c.latency_s))
