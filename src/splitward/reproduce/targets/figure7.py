"""IoTJ20 figure 7: what comes back under Laplace noise."""

from __future__ import annotations

from splitward.reproduce.targets._pictures import noise

TARGET = noise(7, "laplace")
