"""The authors' eight networks. They are in shared folders only, so they are imported with --file.

The shuffle is the inverse of the paper's and sits behind the depthwise convolution; pixels are 0 to 255, blue first.
The shortcut is never negative, so their ReLU on the branch alone is the paper's ReLU behind the concatenation.
"""

from shufflenet.importers.convention import Convention
from shufflenet.importers.source import PublicNetwork, Source
from shufflenet.pictures.preprocessing import Preprocessing

SOURCE = Source(
    name="megvii",
    page="https://github.com/megvii-model/ShuffleNet-Series/tree/master/ShuffleNetV1",
    key="first_conv.0.weight",
    networks={
        arch: PublicNetwork(arch, top1, top5)
        for arch, top1, top5 in (
            ("shufflenet_g3_x0_5", 42.7, 20.0),
            ("shufflenet_g8_x0_5", 41.2, 19.0),
            ("shufflenet_g3_x1_0", 32.2, 12.3),
            ("shufflenet_g8_x1_0", 32.0, 13.6),
            ("shufflenet_g3_x1_5", 28.4, 9.8),
            ("shufflenet_g8_x1_5", 29.0, 10.4),
            ("shufflenet_g3_x2_0", 25.9, 8.6),
            ("shufflenet_g8_x2_0", 27.1, 9.2),
        )
    },
    convention=Convention(
        shuffle="inverse",
        shuffle_last=True,
        bgr=True,
        bytes_in=True,
        preprocessing=Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    ),
)
