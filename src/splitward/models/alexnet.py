"""AlexNet in its single-tower form (Krizhevsky, "One weird trick", 2014), as torchvision lays it out."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from splitward.core.registry import register
from splitward.models.cifar_cnn import IMAGENET_MEAN, IMAGENET_STD


@register("model")
class AlexNet(nn.Module):
    """AlexNet for 224x224 colour images; no trained weights are shipped.

    Input: (N, 3, 224, 224), normalised by the ImageNet mean and std.
    """

    name: ClassVar[str] = "alexnet"
    input: ClassVar[tuple[int, int, int]] = (3, 224, 224)
    normalisation: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]] = (IMAGENET_MEAN, IMAGENET_STD)

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 11, stride=4, padding=2)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(3, 2)
        self.conv2 = nn.Conv2d(64, 192, 5, padding=2)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(3, 2)
        self.conv3 = nn.Conv2d(192, 384, 3, padding=1)
        self.relu3 = nn.ReLU()
        self.conv4 = nn.Conv2d(384, 256, 3, padding=1)
        self.relu4 = nn.ReLU()
        self.conv5 = nn.Conv2d(256, 256, 3, padding=1)
        self.relu5 = nn.ReLU()
        self.pool5 = nn.MaxPool2d(3, 2)
        self.drop6 = nn.Dropout()
        self.fc6 = nn.Linear(256 * 6 * 6, 4096)
        self.relu6 = nn.ReLU()
        self.drop7 = nn.Dropout()
        self.fc7 = nn.Linear(4096, 4096)
        self.relu7 = nn.ReLU()
        self.fc8 = nn.Linear(4096, classes)

    def forward(self, values: Tensor) -> Tensor:
        """Normalised images to logits (N, classes)."""
        x = self.pool1(self.relu1(self.conv1(values)))
        x = self.pool2(self.relu2(self.conv2(x)))
        x = self.relu4(self.conv4(self.relu3(self.conv3(x))))
        x = self.pool5(self.relu5(self.conv5(x)))
        x = self.relu6(self.fc6(self.drop6(x.flatten(1))))
        x = self.relu7(self.fc7(self.drop7(x)))
        logits: Tensor = self.fc8(x)
        return logits
