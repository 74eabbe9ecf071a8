"""kuangliu/pytorch-cifar: 1x1 first convolution, no max pool, a ReLU behind the depthwise, branch before shortcut."""

from shufflenet.importers.convention import Convention
from shufflenet.importers.source import Source
from shufflenet.pictures.preprocessing import Preprocessing

SOURCE = Source(
    name="kuangliu",
    page="https://github.com/kuangliu/pytorch-cifar",
    key=".layer1.0.conv1.",
    networks={},
    convention=Convention(
        stem_stride=1,
        max_pool=False,
        first_unit_shuffles=False,
        depthwise_relu=True,
        branch_first=True,
        preprocessing=Preprocessing(32, 32, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    ),
)
