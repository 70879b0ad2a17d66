"""IoTJ20 figure 12: dropout at five layers on CIFAR-10."""

from __future__ import annotations

from splitward.reproduce.targets._pictures import layers

TARGET = layers(12, "cifar10", "CIFAR-10")
