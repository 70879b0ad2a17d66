"""IoTJ20 figure 11: dropout at five layers on MNIST."""

from __future__ import annotations

from splitward.reproduce.targets._pictures import layers

TARGET = layers(11, "mnist", "MNIST")
