"""Models that something is wrong with."""

from torch import nn


class NotExportable(nn.Module):
    input = (1, 28, 28)

    def forward(self, x):
        return x.flatten(1)[:, : int(x.sum().item()) % 3 + 1]


class TooSmall(nn.Module):
    input = (1, 8, 8)

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 32)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x):
        return self.fc2(self.fc1(x.flatten(1)))


class Leaky(nn.Module):
    input = (1, 28, 28)

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 784)
        self.fc2 = nn.Linear(784, 10)

    def forward(self, x):
        y = x.flatten(1)
        return self.fc2(self.fc1(y) + y)


class Spoilt(TooSmall):
    input = (1, 28, 28)

    def __init__(self):
        nn.Module.__init__(self)
        self.fc1, self.fc2 = nn.Linear(784, 32), nn.Linear(32, 10)
        self.fc1.weight.data[0, 0] = float("nan")


def broken_factory():
    raise ValueError("no such luck")
