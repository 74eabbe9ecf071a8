"""weiaicunzai/pytorch-cifar100: a first convolution of stride 1 and no max pool; the first unit may have groups."""

from shufflenet.importers.convention import Convention
from shufflenet.importers.source import Source
from shufflenet.pictures.preprocessing import Preprocessing

SOURCE = Source(
    name="weiaicunzai",
    page="https://github.com/weiaicunzai/pytorch-cifar100",
    key=".bottlneck.",
    networks={},
    convention=Convention(
        stem_stride=1,
        max_pool=False,
        preprocessing=Preprocessing(32, 32, (0.50707516, 0.48654887, 0.44091784), (0.26733429, 0.25643846, 0.27615047)),
    ),
)
