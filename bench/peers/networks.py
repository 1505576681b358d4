"""The networks of `cucina train`, in PyTorch."""

import torch
from torch import nn
from torch.nn import functional as F


def lenet5():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, 10))


def mnist_fast():
    """github.com/tuomaso/train_mnist_fast, its last notebook."""
    return nn.Sequential(
        nn.Conv2d(1, 24, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(24, 32, 3), nn.MaxPool2d(2),
        nn.ReLU(), nn.Flatten(), nn.Linear(800, 256), nn.ReLU(), nn.Linear(256, 10))


def mnist_dropout2d():
    """github.com/pytorch/examples, mnist/main.py, as it was with Dropout2d."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout2d(0.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 10))


class PadChannels(nn.Module):
    """A shortcut without parameters: every other pixel, between channels of zeros."""

    def __init__(self, more, stride):
        super().__init__()
        self.low, self.high, self.stride = more // 2, more - more // 2, stride

    def forward(self, x):
        return F.pad(x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, self.low, self.high))


class Block(nn.Module):
    """He et al. 2016, arXiv:1512.03385, figure 2 and section 4.2."""

    def __init__(self, channels_in, channels, stride, shortcut):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = shortcut

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


def pad(before, width, stride):
    return PadChannels(width - before, stride)


def projection(before, width, stride):
    return nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))


class ResNet(nn.Module):
    """Stages of basic blocks behind one 3x3 convolution, as for small images."""

    def __init__(self, channels, widths, blocks, shortcut):
        super().__init__()
        before = widths[0]
        self.stem = nn.Sequential(nn.Conv2d(channels, before, 3, 1, 1, bias=False),
                                  nn.BatchNorm2d(before), nn.ReLU())
        layers = []
        for stage, width in enumerate(widths):
            for i in range(blocks):
                stride = 2 if stage > 0 and i == 0 else 1
                around = nn.Identity() if before == width else shortcut(before, width, stride)
                layers.append(Block(before, width, stride, around))
                before = width
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Linear(before, 10)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Airbench94(nn.Module):
    """Jordan 2024, arXiv:2404.00498, section 3: whitening, then three groups of two convolutions."""

    def __init__(self, widths=(64, 256, 256)):
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.whiten.weight.requires_grad = False
        layers, before = [nn.GELU()], 24
        for width in widths:
            layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.MaxPool2d(2),
                       self.norm(width), nn.GELU(),
                       nn.Conv2d(width, width, 3, padding=1, bias=False), self.norm(width),
                       nn.GELU()]
            before = width
        self.layers = nn.Sequential(*layers, nn.MaxPool2d(3), nn.Flatten())
        self.head = nn.Linear(before, 10, bias=False)

    @staticmethod
    def norm(width):
        norm = nn.BatchNorm2d(width, eps=1e-12, momentum=0.4)
        norm.weight.requires_grad = False
        return norm

    def forward(self, x):
        return self.head(self.layers(self.whiten(x))) / 9


# How to make each, given the channels of its images.
NETWORKS = {
    "lenet5": lambda channels: lenet5(),
    "mnist-fast": lambda channels: mnist_fast(),
    "mnist-dropout2d": lambda channels: mnist_dropout2d(),
    "resnet20": lambda channels: ResNet(channels, (16, 32, 64), 3, pad),
    "resnet18": lambda channels: ResNet(channels, (64, 128, 256, 512), 2, projection),
    "airbench94": lambda channels: Airbench94(),
}


def make(name, device, channels=1, layout=torch.channels_last):
    torch.manual_seed(1)
    return NETWORKS[name](channels).to(device).to(memory_format=layout)
