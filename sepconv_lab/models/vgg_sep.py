"""A VGG-style stack of block slots without shortcuts (Xception, section 4.6; claim C7), at two sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ..config import BlockConfig, Size, Stem, VggSepConfig
from ..config.registry import register
from .layers import MaxPool2d
from .skeleton import ConvStem, Head, Slots, conventions_of, features_of, scale_widths


@dataclass(frozen=True)
class Layout:
    """Widths. Each inner tuple is one stage; a 2x2 max-pool with stride 2 stands between stages."""

    stem: tuple[int, ...]
    stem_stride: int
    stages: tuple[tuple[int, ...], ...]


LAYOUTS = {
    # The paper gives no layout. This one has VGG-19's stages after Xception's stem (a stride of 2, so that the first separable
    # layers do not cost more than all others), doubled in width: within a tenth of Inception V3 in parameters and in MACs.
    Size.paper: Layout(
        stem=(32, 64),
        stem_stride=2,
        stages=((128,) * 2, (256,) * 2, (512,) * 4, (1024,) * 4, (2048,) * 4),
    ),
    Size.lab: Layout(stem=(32,), stem_stride=1, stages=((64,), (128,) * 3, (128, 128, 128, 128, 128, 256))),
}


@register(VggSepConfig)
class VggSep(nn.Module):
    """stem -> stages of ([act] -> layer) with max-pools between -> ReLU -> head. Maps (N, 3, S, S) to logits (N, num_classes).

    The stem's convolutions are regular: on three channels a depthwise kernel has next to nothing to do.
    """

    def __init__(self, config: VggSepConfig, block: BlockConfig, num_classes: int):
        super().__init__()
        layout, conventions = LAYOUTS[config.size], conventions_of(config)
        assert config.dropout is not None

        places = 0

        def widths(published: Sequence[int]) -> tuple[int, ...]:
            nonlocal places
            places += len(published)
            return scale_widths(published, config.width, block.width_divisor, places - len(published))

        stem = widths(layout.stem)
        self.stem = ConvStem(stem, layout.stem_stride, Stem.conv, layout.stem_stride > 1, conventions)
        channels = stem[-1]
        features = features_of(config, layout.stages[-1][-1])
        self.stages = nn.Sequential()
        for i, stage in enumerate(layout.stages):
            if i:
                self.stages.add_module(f"pool{i}", MaxPool2d(2, 2, valid=True))
            # The stem ends with its own ReLU, so the first layer has none before it.
            wanted = features if i == len(layout.stages) - 1 else None
            slots = Slots(block, channels, widths(stage), conventions, leading_act=i > 0, features=wanted)
            self.stages.add_module(f"stage{i + 1}", slots)
            channels = slots.out_channels
        self.top_act = nn.ReLU()
        self.head = Head(
            channels, num_classes, fc_layers=config.fc_layers, fc_width=config.fc_width, dropout=config.dropout
        )

    def features(self, x: Tensor) -> Tensor:
        """The feature map before pooling, (N, C, H, W)."""
        return self.top_act(self.stages(self.stem(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))
