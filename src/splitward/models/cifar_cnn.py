"""The CIFAR-10 network of both papers (IoTJ20 section II-C, ACSAC19 section 4)."""

from __future__ import annotations

from typing import ClassVar, cast

from torch import Tensor, nn

from splitward.core.registry import register

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@register("model")
class CifarCNN(nn.Module):
    """Six 3x3 convolutions in three blocks, no batch normalisation, a sigmoid before the last layer.

    Layer names are the papers' split points. Input: (N, 3, 32, 32), normalised by the ImageNet mean and std.
    """

    name: ClassVar[str] = "cifar-cnn"
    input: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    normalisation: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]] = (IMAGENET_MEAN, IMAGENET_STD)

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv11 = nn.Conv2d(3, 64, 3, padding=1)
        self.ReLU11 = nn.ReLU()
        self.conv12 = nn.Conv2d(64, 64, 3, padding=1)
        self.ReLU12 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv21 = nn.Conv2d(64, 128, 3, padding=1)
        self.ReLU21 = nn.ReLU()
        self.conv22 = nn.Conv2d(128, 128, 3, padding=1)
        self.ReLU22 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.conv31 = nn.Conv2d(128, 128, 3, padding=1)
        self.ReLU31 = nn.ReLU()
        self.conv32 = nn.Conv2d(128, 128, 3, padding=1)
        self.ReLU32 = nn.ReLU()
        self.pool3 = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(2048, 512)
        self.fc1act = nn.Sigmoid()
        self.fc2 = nn.Linear(512, classes)
        for layer in self.children():
            if isinstance(layer, nn.Conv2d):  # without batch normalisation, the default scale loses the signal
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(cast("Tensor", layer.bias))

    def forward(self, values: Tensor) -> Tensor:
        """Normalised images to logits (N, classes)."""
        x = self.ReLU12(self.conv12(self.ReLU11(self.conv11(values))))
        x = self.ReLU22(self.conv22(self.ReLU21(self.conv21(self.pool1(x)))))
        x = self.ReLU32(self.conv32(self.ReLU31(self.conv31(self.pool2(x)))))
        x = self.fc1act(self.fc1(self.pool3(x).flatten(1)))
        logits: Tensor = self.fc2(x)
        return logits
