"""A certificate in words: every number with what it assumes, in one sentence."""

from __future__ import annotations

import math

from splitward.record.certificate import Certificate, named_share
from splitward.record.schema import Record

LIST = 1000
"""Images of the list that is taken for an example, at least; ten for each message."""


def statements(certificate: Certificate) -> tuple[str, ...]:
    """The sentences, one about real images first where there is one; one that says why, where there is no bound."""
    if certificate.status == "counted":
        unproved = f"Of errors nothing is proved, because {_lowered(certificate.reason)}"
        return (_counted(certificate), unproved)
    if certificate.status != "bounded":
        return (f"Empirical only: no bound on attackers is known here, because {_lowered(certificate.reason)}",)
    strongest = (_listed, _any) if certificate.candidates_mse_low else (_any, _listed)
    found = [sentence(certificate) for sentence in (*strongest, _counted, _by_prior, _unbiased, _privacy)]
    return tuple(sentence for sentence in found if sentence)


def compared(record: Record) -> str:
    """What the most exact attack of a record reached, against its certificate; empty where there is nothing to say."""
    c = record.certificate
    errors = [(t.metrics["mse"].mean, t.attack) for t in record.trials if t.status == "ok" and "mse" in t.metrics]
    if c is None or c.any_mse is None or c.dither is None or not errors:
        return ""
    error, attack = min(errors)
    text = f"The most exact attack of this record, {attack}, errs by {number(error)} per pixel in mean square"
    if error < c.any_mse:
        return (
            f"{text}: less than {number(c.any_mse)}, since these secrets are the images themselves, without noise of "
            f"{number(c.dither)} on them, so that this bound is not about them."
        )
    return f"{text}."


def number(value: float) -> str:
    """Three significant digits.

    >>> number(0.00123456)
    '0.00123'
    """
    return f"{value:.3g}" if 1e-5 <= abs(value) < 1e5 or value == 0 else f"{value:.2e}"


def decibels(mse: float) -> str:
    """A mean squared error as peak signal to noise ratio, peak 1."""
    return f"{-10 * math.log10(mse):.1f} dB"


def times(certificate: Certificate) -> str:
    """How often a secret is seen."""
    k = certificate.observations
    return "one observation" if k == 1 else f"{k:,} observations with independent noise"


def _any(c: Certificate) -> str:
    if c.any_mse is None or c.any_worst_mse is None or c.dither is None:
        return ""
    return (
        f"Of independent normal noise of {number(c.dither)} that each pixel of a secret carries, no attacker, whatever "
        f"else it knows, recovers more than {_share(1 - c.any_mse / c.dither**2)} of the variance after {times(c)} of "
        f"{c.noise}, if the edge is Lipschitz: on secrets like the {c.samples} images at which it was differentiated, "
        f"with that noise on them, it errs by at least {number(c.any_mse)} per pixel in mean square (a PSNR of "
        f"{decibels(c.any_mse)} at most; the least of the images {number(c.any_worst_mse)}; van Trees, {_limits(c)}), "
        "and of secrets without such noise, such as strokes on a blank page, this says nothing."
    )


def _listed(c: Certificate) -> str:
    if c.candidates_mse_low is None or c.candidates_mse is None:
        return ""
    if not c.candidates_mse_low > 0:
        return (
            f"An attacker who holds all {c.candidates:,} images that the secret is drawn from may well name it after "
            f"{times(c)} of {c.noise} (its error is estimated as {number(c.candidates_mse)}), so that no bound follows "
            "from a list of that length."
        )
    return (
        f"Any attacker, even one who holds all {c.candidates:,} images that the secret is drawn from, errs by at least "
        f"{number(c.candidates_mse_low)} per pixel in mean square after {times(c)} of {c.noise}, on average over "
        f"secrets drawn evenly from that list (lower 95 % limit; estimate {number(c.candidates_mse)}; nothing is "
        "assumed of derivatives or of what images look like)."
    )


def _counted(c: Certificate) -> str:
    if c.bits is None:
        return ""
    k, images = c.observations, max(LIST, 10 * 2**c.bits)
    often = f"by {k:,} observation{'s' * (k > 1)}" if c.fresh else "however often it is sent"
    return (
        f"At most {c.bits} bits are said of an input, {often}: of m equally likely images no attacker, whatever it "
        f"knows, names the right one in more than {2**c.bits:,} of m cases ({_share(named_share(c, images))} of "
        f"{images:,}), if the numbers sent are all that it sees and not sizes or times of messages."
    )


def _by_prior(c: Certificate) -> str:
    if c.prior_mse is None or c.any_mse is None or c.dither is None or c.prior_mse <= c.any_mse:
        return ""
    return (
        "Any attacker who knows how such images are distributed, but not the image, errs by at least "
        f"{number(c.prior_mse)} per pixel in mean square after {times(c)} of {c.noise}, if secrets are drawn as the "
        f"images at hand and carry normal noise of {number(c.dither)} that counts as part of them, and the edge is "
        f"Lipschitz (van Trees; {_limits(c)}; the prior's information by a kernel estimate, too high on average, "
        f"{number(c.prior_information_upper or 0.0)} at most per pixel)."
    )


def _unbiased(c: Certificate) -> str:
    if c.unbiased_mse is None or c.unbiased_worst_mse is None:
        return ""
    return (
        f"An attacker without bias errs by at least {number(c.unbiased_mse)} per pixel in mean square after {times(c)} "
        f"of {c.noise} (1/dFIL; the least of {c.samples} images {number(c.unbiased_worst_mse)}; {_limits(c)}), which "
        "does not hold for one that clips its guess to [0, 1] or leans on what images look like, since that is a bias: "
        "nearly every real attack does, and can err less."
    )


def _privacy(c: Certificate) -> str:
    p = c.privacy
    if p is None:
        return (
            "No differential privacy follows at any noise, because what one input can send is not bounded: put a "
            "clipping (clip:C) before the noise."
        )
    many = "One release is" if p.queries == 1 else f"{p.queries:,} releases together are"
    meaning = "" if p.epsilon <= 10 else ", which bounds next to nothing"
    return (
        f"{many} ({number(p.epsilon)}, {p.delta:g})-differentially private about the whole input, any two inputs being "
        f"neighbours, if the activation is clipped to a Euclidean norm of {number(p.clip)} before noise drawn anew for "
        f"each{meaning}."
    )


def _share(share: float) -> str:
    """Rounded up, so that "no more than" stays true."""
    return f"{math.ceil(1000 * share) / 10:g} %"


def _limits(c: Certificate) -> str:
    how = {"probes": "random probes", "trace": "exact traces"}.get(c.method, "exact derivatives")
    return f"from {how}, upper {c.confidence:.0%} limits of their means".replace("%", " %")


def _lowered(reason: str) -> str:
    return reason if reason[:2].isupper() else reason[:1].lower() + reason[1:]
