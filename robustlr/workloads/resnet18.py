"""ResNet-18 for images of 32 × 32: a 3 × 3 stem, no pooling before the first stage.

He et al., "Deep Residual Learning for Image Recognition" (2015, arXiv 1512.03385), section 4.1's
18 layers in four stages of 64, 128, 256 and 512 channels; the stem is the one in common use for
CIFAR. 11,173,962 weights for 10 classes.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

_STAGES = (64, 128, 256, 512)


class ResNet18(nn.Module):
    """Images [B, 3, H, W] → logits [B, classes]. Weights as in He et al. 2015 (fan out)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _STAGES[0], 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(_STAGES[0])
        blocks, channels = [], _STAGES[0]
        for stage, outputs in enumerate(_STAGES):
            blocks += [_Block(channels, outputs, 2 if stage else 1), _Block(outputs, outputs, 1)]
            channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        features = self.blocks(functional.relu(self.norm(self.stem(images))))
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


class _Block(nn.Module):
    """relu(input + norm(conv(relu(norm(conv(input))))))."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.shortcut(x) + self.norm2(self.conv2(hidden)))
