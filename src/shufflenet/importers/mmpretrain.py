"""OpenMMLab's one network: the shuffle sits behind the depthwise convolution."""

from shufflenet.importers.convention import Convention
from shufflenet.importers.source import PublicNetwork, Source

SOURCE = Source(
    name="mmpretrain",
    page="https://github.com/open-mmlab/mmpretrain/tree/main/configs/shufflenet_v1",
    licence="Apache-2.0",
    key=".g_conv_1x1_compress.conv.",
    networks={
        "shufflenet_v1_1x": PublicNetwork(
            arch="shufflenet_g3_x1_0",
            top1_error=31.87,
            top5_error=12.19,
            address="https://download.openmmlab.com/mmclassification/v0/shufflenet_v1/"
            "shufflenet_v1_batch1024_imagenet_20200804-5d6cec73.pth",
            hash="sha256:5d6cec73",
        )
    },
    convention=Convention(shuffle_last=True),
)
