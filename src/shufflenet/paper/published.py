"""The figures that the paper published (arXiv 1707.01083): top-1 errors on ImageNet in percent, million multiply-adds.

Networks have this package's names; those that it does not build have the paper's.
"""

from __future__ import annotations

from typing import NamedTuple

# Table 1: million multiply-adds without the classifier, by groups.
TABLE1 = {1: 143, 2: 140, 3: 137, 4: 133, 8: 137}

# Tables 2 to 4: million multiply-adds, one figure for all networks of a scale.
SCALE_MACS = {1.0: 140, 0.5: 38, 0.25: 13}

# Table 2: error by scale and groups.
TABLE2 = {
    1.0: {1: 33.6, 2: 32.7, 3: 32.6, 4: 32.8, 8: 32.4},
    0.5: {1: 45.1, 2: 44.4, 3: 43.2, 4: 41.6, 8: 42.3},
    0.25: {1: 57.1, 2: 56.8, 3: 55.0, 4: 54.2, 8: 52.7},
}

# Table 3: error without and with shuffle by scale and groups.
TABLE3 = {
    (1.0, 3): (34.5, 32.6),
    (1.0, 8): (37.6, 32.4),
    (0.5, 3): (45.7, 43.2),
    (0.5, 8): (48.1, 42.3),
    (0.25, 3): (56.3, 55.0),
    (0.25, 8): (56.5, 52.7),
}

# Table 4: error by million multiply-adds and network. VGG-like networks have one at 140 million only.
TABLE4: dict[int, dict[str, float | None]] = {
    140: {
        "vgg_like_140m": 50.7,
        "resnet_140m": 37.3,
        "xception_like_140m": 33.6,
        "resnext_140m": 33.3,
        "shufflenet_g8_x1_0": 32.4,
    },
    38: {
        "vgg_like_38m": None,
        "resnet_38m": 48.8,
        "xception_like_38m": 45.1,
        "resnext_38m": 46.0,
        "shufflenet_g4_x0_5": 41.6,
    },
    13: {
        "vgg_like_13m": None,
        "resnet_13m": 63.7,
        "xception_like_13m": 57.1,
        "resnext_13m": 65.2,
        "shufflenet_g8_x0_25": 52.7,
    },
}


class Entry(NamedTuple):
    """A row of Table 5 or 6."""

    network: str
    million_macs: int
    error: float


TABLE5 = (
    Entry("mobilenet_v1_x1_0", 569, 29.4),
    Entry("shufflenet_g3_x2_0", 524, 26.3),
    Entry("shufflenet_g3_x2_0_se", 527, 24.7),
    Entry("mobilenet_v1_x0_75", 325, 31.6),
    Entry("shufflenet_g3_x1_5", 292, 28.5),
    Entry("mobilenet_v1_x0_5", 149, 36.3),
    Entry("shufflenet_g8_x1_0", 140, 32.4),
    Entry("mobilenet_v1_x0_25", 41, 49.4),
    Entry("shufflenet_g4_x0_5", 38, 41.6),
    Entry("shufflenet_g3_shallow", 40, 42.8),
)

TABLE6 = (
    Entry("VGG-16", 15300, 28.5),
    Entry("shufflenet_g3_x2_0", 524, 26.3),
    Entry("GoogLeNet", 1500, 31.3),
    Entry("shufflenet_g8_x1_0", 140, 32.4),
    Entry("alexnet", 720, 42.8),
    Entry("squeezenet1_0", 833, 42.5),
    Entry("shufflenet_g4_x0_5", 38, 41.6),
)

# Table 7: mean average precision (%) of Faster R-CNN on COCO, at 300 and at 600 pixels, by the network in front.
TABLE7 = {
    "shufflenet_g3_x2_0": (18.7, 25.0),
    "shufflenet_g3_x1_0": (14.5, 19.8),
    "mobilenet_v1_x1_0, its authors' figures": (16.4, 19.8),
    "mobilenet_v1_x1_0": (14.9, 19.3),
}

# Table 8: milliseconds of one picture at each of these (height, width), on one thread of a Snapdragon 820.
TABLE8_SIZES = ((224, 224), (480, 640), (720, 1280))
TABLE8 = {
    "shufflenet_g3_x0_5": (15.2, 87.4, 260.1),
    "shufflenet_g3_x1_0": (37.8, 222.2, 684.5),
    "shufflenet_g3_x2_0": (108.8, 617.0, 1857.6),
    "alexnet": (184.0, 1156.7, 3633.9),
    "mobilenet_v1_x1_0": (110.0, 612.0, 1879.2),
}


def errors() -> dict[str, float]:
    """Top-1 error in percent of every network that has one in Tables 2 to 6, by name."""
    errors = {
        f"shufflenet_g{groups}_x{str(scale).replace('.', '_')}": error
        for scale, row in TABLE2.items()
        for groups, error in row.items()
    }
    for table in TABLE4.values():
        errors |= {name: error for name, error in table.items() if error is not None}
    return errors | {entry.network: entry.error for entry in (*TABLE5, *TABLE6)}
