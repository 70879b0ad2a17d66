"""LeNet-5 as both papers use it (IoTJ20 section II-C, ACSAC19 section 4)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from splitward.core.registry import register


@register("model")
class LeNet5(nn.Module):
    """LeNet-5 for 28x28 grey images: two convolutions without padding, three fully connected layers.

    Layer names are the papers' split points. Input: (N, 1, 28, 28), normalised by mean 0.5 and std 0.5.
    """

    name: ClassVar[str] = "lenet5"
    input: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    normalisation: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]] = ((0.5,), (0.5,))

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 5)
        self.ReLU1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(8, 16, 5)
        self.ReLU2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(256, 120)
        self.fc1act = nn.ReLU()
        self.fc2 = nn.Linear(120, 84)
        self.fc2act = nn.ReLU()
        self.fc3 = nn.Linear(84, classes)

    def forward(self, values: Tensor) -> Tensor:
        """Normalised images to logits (N, classes)."""
        x = self.pool1(self.ReLU1(self.conv1(values)))
        x = self.pool2(self.ReLU2(self.conv2(x)))
        x = self.fc1act(self.fc1(x.flatten(1)))
        x = self.fc2act(self.fc2(x))
        logits: Tensor = self.fc3(x)
        return logits
