"""A scale at which everything runs in seconds: digits in place of MNIST, two levels, a few steps."""

import dataclasses

from splitward.reproduce.scales import QUICK

_TINY = dataclasses.replace(
    QUICK.mnist, data="digits", attack_steps=3, defence_steps=3, epochs=1, public=64, pool=60, noise_wire=(2.0,),
    noise_input=(1.0,), dropout_wire=(0.6,), dropout_input=(0.6,), depth=(0.6,),
    changes=(("steps", 2), ("width", 8), ("batch", 8)), shadow_steps=2,
)  # fmt: skip
TINY = dataclasses.replace(QUICK, name="tiny", images=4, mnist=_TINY)
