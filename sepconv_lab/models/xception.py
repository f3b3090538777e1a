"""The Xception skeleton (paper, Figure 5) at its published size and at one for small images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ..config import BlockConfig, Size, XceptionConfig
from ..config.registry import register
from .skeleton import ConvStem, Head, Module, Slots, conventions_of, features_of, scale_widths


@dataclass(frozen=True)
class Layout:
    """Widths and strides. Each inner tuple is one module; entry and exit modules end with a pool of stride 2."""

    stem: tuple[int, ...]
    stem_stride: int
    entry: tuple[tuple[int, ...], ...]
    middle: tuple[int, ...]
    exit: tuple[tuple[int, ...], ...]
    top: tuple[int, ...]
    stem_valid: bool = False
    """Whether the stem convolutions go unpadded, as every public build of the published network has them."""


LAYOUTS = {
    Size.paper: Layout(
        stem=(32, 64),
        stem_stride=2,
        entry=((128, 128), (256, 256), (728, 728)),
        middle=(728, 728, 728),
        exit=((728, 1024),),
        top=(1536, 2048),
        stem_valid=True,
    ),
    # 32 pixels: two pools leave 8x8, under which depthwise kernels are slow and see mostly padding.
    Size.lab: Layout(
        stem=(32,), stem_stride=1, entry=((64,), (128, 128)), middle=(128, 128, 128), exit=(), top=(256,)
    ),
}  # fmt: skip


@register(XceptionConfig)
class Xception(nn.Module):
    """stem -> entry flow -> middle flow x repeats -> exit flow -> head. Maps (N, 3, S, S) to logits (N, num_classes)."""

    def __init__(self, config: XceptionConfig, block: BlockConfig, num_classes: int):
        super().__init__()
        layout, conventions = LAYOUTS[config.size], conventions_of(config)
        assert config.stem is not None
        assert config.middle_repeats is not None
        assert config.dropout is not None

        places = 0

        def widths(published: Sequence[int]) -> tuple[int, ...]:
            nonlocal places
            places += len(published)
            return scale_widths(published, config.width, block.width_divisor, places - len(published))

        stem = widths(layout.stem)
        self.stem = ConvStem(stem, layout.stem_stride, config.stem, layout.stem_valid, conventions)
        channels = stem[-1]

        def module(published: Sequence[int], *, pool: bool, leading_act: bool = True) -> Module:
            nonlocal channels
            scaled = widths(published)
            if not pool:  # the shortcut is the identity
                scaled = (*scaled[:-1], channels)
            made = Module(block, channels, scaled, conventions, pool=pool, leading_act=leading_act)
            channels = scaled[-1]
            return made

        # The stem ends with its own ReLU, so the first module has none before it (Figure 5).
        self.entry = nn.Sequential(*[module(m, pool=True, leading_act=i > 0) for i, m in enumerate(layout.entry)])
        self.middle = nn.Sequential(*[module(layout.middle, pool=False) for _ in range(config.middle_repeats)])
        self.exit = nn.Sequential(*[module(m, pool=True) for m in layout.exit])
        # No activation between the last sum and the first layer of the top (Figure 5).
        top = widths(layout.top)
        features = features_of(config, layout.top[-1])
        self.top = Slots(block, channels, top, conventions, leading_act=False, features=features)
        self.top_act = nn.ReLU()
        self.head = Head(
            self.top.out_channels,
            num_classes,
            fc_layers=config.fc_layers,
            fc_width=config.fc_width,
            dropout=config.dropout,
        )

    def features(self, x: Tensor) -> Tensor:
        """The feature map before pooling, (N, C, H, W)."""
        x = self.exit(self.middle(self.entry(self.stem(x))))
        return self.top_act(self.top(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))
