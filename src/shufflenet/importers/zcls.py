"""ZCls: built like Megvii's, but stride-2 units end without a ReLU, and pictures are normalised."""

from shufflenet.importers.convention import Convention
from shufflenet.importers.source import Source

SOURCE = Source(
    name="zcls",
    page="https://github.com/ZJCV/ZCls",
    key=".backbone.stem.0.",
    networks={},
    convention=Convention(shuffle="inverse", shuffle_last=True, concat_relu=False),
)
