"""The audits that several targets share, as values: a target that names one again gets the same record."""

from __future__ import annotations

from splitward.reproduce.need import Attacker, Auxiliary, Need, chain
from splitward.reproduce.scales import Scale, Study

CUTS = {"mnist": ("conv1", "ReLU2"), "cifar10": ("conv11", "ReLU22", "ReLU32")}
"""Where the attack study cuts."""
DEFENDED = {"mnist": "ReLU2", "cifar10": "ReLU22"}
"""Where figures 6 to 10 cut."""
DEPTHS = {
    "mnist": ("ReLU1", "pool1", "conv2", "ReLU2", "pool2"),
    "cifar10": ("ReLU12", "pool1", "conv22", "ReLU22", "pool2"),
}
"""Where figures 11 to 13 cut."""
LAYERS = ("conv1", "ReLU1", "pool1", "conv2", "ReLU2", "pool2", "fc1", "fc1act", "fc2", "fc2act", "fc3")
"""Where figures 14 and 15 cut."""
AUXILIARIES: tuple[Auxiliary, ...] = ("same set", "same distribution", "random noise set")


def own(study: Study, name: str) -> Attacker:
    """An attack of ours, with the scale's settings where it has the field."""
    return Attacker(name, (*study.changes, ("laps", study.laps)) if name == "inverse-network" else ())


def white_box(scale: Scale, data: str) -> list[Need]:
    """ACSAC19 table 3: rMLE of the scripts with the attack study's iterations, of the text, and ours."""
    steps = scale.study(data).attack_steps
    attackers = (
        Attacker("rmle:scripts", (("steps", steps),)), Attacker("rmle:paper", (("steps", steps),)), Attacker("rmle"),
    )  # fmt: skip
    return [Need("white-box", data, at, attackers, setting="rMLE") for at in CUTS[data]]


def black_box(scale: Scale, data: str) -> list[Need]:
    """ACSAC19 table 4: the scripts' decoder for three kinds of training images."""
    attacker = (Attacker("inverse-network:scripts", (("epochs", scale.study(data).epochs),)),)
    return [
        Need("black-box", data, at, attacker, setting=kind, auxiliary=kind) for at in CUTS[data] for kind in AUXILIARIES
    ]


def reconstruction(scale: Scale, data: str) -> list[Need]:
    """ACSAC19 table 8: a surrogate from queries, then rMLE."""
    attackers = (Attacker("model-reconstruction:paper", (("steps", scale.study(data).shadow_steps),)),)
    return [Need("reconstruction", data, at, attackers, setting="model reconstruction + rMLE") for at in CUTS[data]]


def shadow(scale: Scale, data: str, at: str, net: str) -> Attacker:
    """The papers' query-free attack, with a shadow of the victim's own architecture ("same") or of table 5."""
    study = scale.study(data)
    changes: tuple[tuple[str, int | str], ...] = (("epochs", study.epochs), ("inversion_steps", study.shadow_steps))
    if net == "same":
        model = study.model.replace("-", "_")
        changes += (("architecture", f"splitward.reproduce.edges:{model}_to_{at}"),)
    return Attacker("shadow-model:scripts", changes)


def query_free(scale: Scale, data: str) -> list[Need]:
    """ACSAC19 table 6: the victim's training set or another, the victim's architecture or another."""
    kinds: tuple[tuple[str, Auxiliary], ...] = (("same set", "same set"), ("different set", "same distribution"))
    return [
        Need("query-free", data, at, (shadow(scale, data, at, net),), setting=f"{name} {net} net", auxiliary=kind)
        for at in CUTS[data]
        for name, kind in kinds
        for net in ("same", "different")
    ]


def every_layer(scale: Scale) -> list[Need]:
    """IoTJ20 figures 14 and 15: query-free at every layer of LeNet-5, and our own query-free attack."""
    ours = Attacker("shadow-model", (("laps", scale.mnist.laps),))
    return [Need("layers", "mnist", at, (shadow(scale, "mnist", at, "same"), ours), released="label") for at in LAYERS]


def asked(scale: Scale, data: str, at: str) -> Need:
    """What our own attackers reach who may ask the device; on CIFAR-10, once a cut, with the steps of their effort."""
    study = scale.study(data)
    decoder = own(study, "inverse-network") if data == "mnist" else Attacker("inverse-network", (("laps", study.laps),))
    return Need("asked", data, at, (decoder,), released="label")


def arbitrary(scale: Scale) -> list[Need]:
    """Secrets unlike the public data, at the cut of the defence study."""
    study = scale.study("mnist")
    attackers = (Attacker("rmle:scripts", (("steps", study.defence_steps),)), own(study, "inverse-network"))
    return [
        Need(
            "arbitrary", "mnist", "ReLU2", attackers, released="label",
            unlike=("rotated", "inverted", "shuffled", "faces"),
        )
    ]  # fmt: skip


def defence(scale: Scale, data: str, at: str, kind: str, applied_to: str, level: float) -> Need:
    """One point of figures 6 to 13: the papers' naive attack, and attackers who know of the defence."""
    study = scale.study(data)
    attackers = (Attacker("rmle:scripts", (("steps", study.defence_steps),)), *(own(study, n) for n in study.adaptive))
    written = chain(kind, applied_to, level)
    return Need("defence", data, at, attackers, written, released="label" if written == "none" else "none")


def noises(scale: Scale, data: str, kind: str) -> list[Need]:
    """Every level of one kind of noise, on the input and on the activation."""
    study, at = scale.study(data), DEFENDED[data]
    return [defence(scale, data, at, kind, "input", level) for level in (0.0, *study.noise_input)] + [
        defence(scale, data, at, kind, "activation", level) for level in study.noise_wire
    ]


def dropouts(scale: Scale, data: str) -> list[Need]:
    """Every level of dropout, on the input and on the activation."""
    study, at = scale.study(data), DEFENDED[data]
    return [defence(scale, data, at, "dropout", "input", level) for level in (0.0, *study.dropout_input)] + [
        defence(scale, data, at, "dropout", "activation", level) for level in study.dropout_wire
    ]


TRAININGS = (1, 2, 3)
"""Seeds of trainings by the papers' recipe."""


def victims(scale: Scale, data: str) -> list[Need]:
    """The papers' attack under noise and dropout on the activation, on three other trainings of LeNet-5, on MNIST."""
    if data != "mnist":
        return []
    study = scale.study(data)
    steps = (("steps", study.defence_steps),)
    levels = [("gaussian", level) for level in study.noise_wire] + [("dropout", level) for level in study.dropout_wire]
    return [
        Need(
            "victims", data, DEFENDED[data], (Attacker("rmle:scripts", steps),), chain(kind, "activation", level),
            victim=victim,
        )
        for victim in TRAININGS
        for kind, level in [("none", 0.0), *levels]
    ]  # fmt: skip


def depths(scale: Scale, data: str) -> list[Need]:
    """Dropout of the activation at five layers."""
    study = scale.study(data)
    return [
        defence(scale, data, at, "dropout", "activation", level)
        for at in DEPTHS[data]
        for level in (0.0, *(study.dropout_wire if at == DEFENDED[data] else study.depth))
    ]
