"""IoTJ20 figure 6: what comes back under Gaussian noise."""

from __future__ import annotations

from splitward.reproduce.targets._pictures import noise

TARGET = noise(6, "gaussian")
