"""The protocol of our small-scale errors: networks, recipe, seeds and input size, the same for all networks.

The paper trains for 240 epochs of ImageNet on four GPUs. Here one core trains a network of 13 million multiply-adds in
minutes, on small pictures of fewer classes. Errors are therefore higher than the paper's; their order and distance are
what is compared.
"""

from __future__ import annotations

from shufflenet.networks import families
from shufflenet.networks.architecture import Architecture
from shufflenet.training.recipe import Recipe

SEEDS = (0, 1)
SIZE = 32  # pixels
# The recipe `paper` without averaged weights and with twice the learning rate, since there are few epochs.
RECIPE = Recipe("paper-tables", epochs=6, learning_rate=1.0, warmup_epochs=0.5, min_crop_area=0.5)

# The networks that each table compares, in the order in which they are trained.
NETWORKS = {
    2: tuple(f"shufflenet_g{groups}_x0_25" for groups in (1, 2, 3, 4, 8)),
    3: tuple(f"shufflenet_g{groups}_x0_25{suffix}" for groups in (3, 8) for suffix in ("", "_no_shuffle")),
    # With one group ShuffleNet is the Xception-like network (section 4.2).
    4: ("shufflenet_g8_x0_25", "shufflenet_g1_x0_25", "resnet_13m", "resnext_13m"),
    5: ("shufflenet_g4_x0_5", "mobilenet_v1_x0_25", "shufflenet_g3_shallow"),
}


def network(name: str, classes: int) -> Architecture:
    """The network of this name for small pictures: the first convolution has stride 1, as in the embedded model."""
    return families.architecture(name, classes=classes, stem_stride=1)
