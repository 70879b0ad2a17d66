"""Networks that are hard to cut, each for another reason; small, with random weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """A residual block as torchvision lays it out: one ReLU object called twice, in place, and ``+=``."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1)
        self.layer1 = nn.Sequential(Block(8, 8, 1))
        self.layer2 = nn.Sequential(Block(8, 16, 2), Block(16, 16, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, 5)
        for module in self.modules():  # as after training: statistics that are not 0 and 1
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.conv1(x)))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(n, t, c))


class TransformerBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """With a class token (expanded to the batch size) and position embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.position = nn.Parameter(torch.randn(1, 5, 16))
        self.blocks = nn.Sequential(TransformerBlock(16, 2), TransformerBlock(16, 4))
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


class TiedLSTM(nn.Module):
    """A language model whose output layer is its embedding; a tuple comes back from the LSTM, a dict from the model."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.lstm = nn.LSTM(16, 16, num_layers=2, batch_first=True)
        self.out = nn.Linear(16, 50, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> dict[str, object]:
        hidden, (last, cell) = self.lstm(self.embed(tokens))
        return {"logits": self.out(hidden), "state": (last, cell)}


class SequenceFirst(nn.Module):
    """The batch is the second dimension, and inside the attention part of a merged one, in either order."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 16)
        self.attn = nn.MultiheadAttention(16, 4)
        self.gru = nn.GRU(16, 8, bidirectional=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.embed(x).transpose(0, 1)
        y = y + self.attn(y, y, y)[0]
        y, _ = self.gru(y)
        return self.head(y[-1])


class Windows(nn.Module):
    """Attention in windows that are folded into the batch, as in Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 2, 2)
        self.attn = Attention(8, 2)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).permute(0, 2, 3, 1)
        n, h, w, c = x.shape
        x = x.view(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
        x = self.attn(x).view(n, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        return self.head(x.mean((1, 2)))


class ControlFlow(nn.Module):
    """Python that asks for values: an early exit, a choice of expert, a loop with an end that depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.exit = nn.Linear(8, 3)
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.refine = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x).relu()
        early = self.exit(h)
        if early.softmax(-1).max().item() > 0.62:
            return early
        h = self.experts[int(h.mean(0)[:3].argmax())](h)
        for _ in range(3):
            if h.abs().mean() < 0.2:
                break
            h = self.refine(h).tanh()
        return self.head(h)


class WhileLoop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        while h.norm() > 1:
            h = h * 0.5
        return self.head(h)


class TorchControlFlow(nn.Module):
    """``torch.cond`` and ``torch.while_loop``, which torch.export knows."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.one = nn.Linear(8, 8)
        self.other = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        h = torch.cond(h.mean() > 0, lambda h: self.one(h), lambda h: self.other(h).relu(), (h,))
        h = torch.ops.higher_order.while_loop(lambda h: h.norm() > 1, lambda h: (h * 0.5,), (h,), ())[0]
        return self.head(h)


class Selections(nn.Module):
    """Masks and indices that depend on the data cross, or are recomputed; so does a number read from a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.mix = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.stem(x)
        mask = h > 0
        best = h.argmax(1)
        values, order = h.topk(3, 1)
        scale = h.abs().mean().item()
        y = self.mix(h.relu()) * mask + h.gather(1, best[:, None]) * scale
        return self.head(y).scatter_add(1, order % 3, values), best


class Unpooling(nn.Module):
    """The indices of a pooling are used on the way back up."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 2, 3, padding=1)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)
        self.up = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h, indices = self.pool(self.down(x))
        return self.up(self.unpool(h.relu(), indices))


class Fourier(nn.Module):
    """Complex numbers cross."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.fft2(self.stem(x))
        return self.head(torch.fft.ifft2(spectrum * 2).real.relu().mean(1))


class Nested(nn.Module):
    """Tuples, lists, dicts, None, numbers, and the batch size come back."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> object:
        h = self.stem(x)
        return (h, [self.head(h), None, 3], {"label": h.argmax(1), 5: x.shape[0]})


class Overwriting(nn.Module):
    """Writes into its input, into views, and into what others still read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.head = nn.Linear(8, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5)
        self.calls += 1
        h = self.stem(x)
        first = h.add_(1)
        h[:, 0] = 1
        h.mul_(2)
        return self.head(h + first)


class InputSkip(nn.Module):
    """The raw input is added again two layers later."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 3, 3, padding=1)
        self.conv2 = nn.Conv2d(3, 3, 3, padding=1)
        self.fc = nn.Linear(192, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc((self.conv2(self.conv1(x).relu()) + x).flatten(1))
