"""A small residual network, as a user might bring one: 28 x 28 grey pixels to two classes.

    splitward train own_network:make --data XRAYS --epochs 5 --out xrays.safetensors

run in this folder, trains it on a folder of images.
"""

from __future__ import annotations

from torch import Tensor, nn

from splitward.core.edge import Normalise, Normalised


class Block(nn.Module):
    """Two 3 x 3 convolutions beside the identity, or beside a 1 x 1 convolution where the shape changes (He et al.)."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        same = stride == 1 and before == channels
        self.beside = nn.Identity() if same else nn.Conv2d(before, channels, 1, stride, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, channels, H / stride, W / stride)."""
        y = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        z: Tensor = self.relu(y + self.beside(x))
        return z


class Small(nn.Sequential):
    """Three stages of two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.layer1 = nn.Sequential(Block(16, 16, 1), Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(64, 2)


def make() -> nn.Module:
    """Pixels in [0, 1] to logits."""
    return Normalised(Normalise((0.5,), (0.25,)), Small())
