"""ShuffleNet's table: the paper's channels, one rule for every scale, and nothing that divides badly."""

from __future__ import annotations

import pytest

from shufflenet.networks import complexity, families
from shufflenet.networks.shufflenet_v1 import STAGE2_CHANNELS, ShuffleNetV1

# Every 0.01 up to the paper's largest scale, and a few beyond it.
SWEEP = [step / 100 for step in range(1, 201)] + [1e-6, 1 / 3, 2.5, 3.99, 7.77, 16]


@pytest.mark.parametrize("groups", STAGE2_CHANNELS)
def test_every_scale_divides(groups: int) -> None:
    for scale in SWEEP:
        arch = ShuffleNetV1(groups, scale)
        for unit in arch.units():
            where = f"{arch.name} {unit.name}"
            assert min(unit.bottleneck_channels, unit.branch_channels) > 0, where
            assert unit.in_channels % unit.groups1 == 0, where
            assert unit.bottleneck_channels % unit.groups1 == 0, where
            assert unit.bottleneck_channels % unit.groups2 == 0, where
            assert unit.branch_channels % unit.groups2 == 0, where


@pytest.mark.parametrize(
    ("groups", "channels"),
    [(1, (144, 288, 576)), (2, (200, 400, 800)), (3, (240, 480, 960)), (4, (272, 544, 1088)), (8, (384, 768, 1536))],
)
def test_table_1_channels(groups: int, channels: tuple[int, int, int]) -> None:
    arch = ShuffleNetV1(groups, 1.0)
    assert tuple(arch.stage_channels(stage) for stage in (2, 3, 4)) == channels
    assert arch.stem_channels == 24


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("shufflenet_g3_x0_5", 12),
        ("shufflenet_g8_x0_5", 16),
        ("shufflenet_g8_x0_25", 8),
        ("shufflenet_g1_x0_25", 12),
        ("shufflenet_g3_x1_5", 24),
        ("shufflenet_g8_x1_5", 24),
        ("shufflenet_g3_x2_0", 48),
        ("shufflenet_g8_x2_0", 48),
    ],
)
def test_stem_channels(name: str, stem: int) -> None:
    arch = families.architecture(name)
    assert isinstance(arch, ShuffleNetV1)
    assert arch.stem_channels == stem


def test_units_follow_the_paper() -> None:
    units = list(ShuffleNetV1(3, 1.0).units())
    assert [unit.stage for unit in units] == [2] * 4 + [3] * 8 + [4] * 4
    assert [unit.stride for unit in units] == [2, 1, 1, 1] + [2] + [1] * 7 + [2, 1, 1, 1]
    assert [unit.groups1 for unit in units] == [1] + [3] * 15  # section 3.2
    assert {unit.groups2 for unit in units} == {3}
    assert all(unit.bottleneck_channels * 4 == unit.out_channels for unit in units)


@pytest.mark.parametrize(
    "fields",
    [
        {"groups": 5},
        {"scale": 0.0},
        {"scale": 17.0},
        {"scale": float("nan")},
        {"classes": 0},
        {"in_channels": 0},
        {"stem_stride": 3},
        {"stem_channels": 7},
        {"stem_channels": 240},
        {"shuffle": 1},
        {"inverse_shuffle": None},
        {"squeeze_excitation": 0},
        {"shallow": "yes"},
    ],
)
def test_bad_fields_are_named(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        ShuffleNetV1(**{"groups": 3, "scale": 1.0, **fields})  # type: ignore[arg-type]


def test_the_shallow_network_is_as_wide_as_its_budget_allows() -> None:
    """Table 5: 40 million multiply-adds. Any other multiple of the groups is further from them."""

    def distance(stage2_channels: int) -> float:
        arch = ShuffleNetV1(3, stage2_channels / STAGE2_CHANNELS[3], shallow=True)
        return abs(complexity.summary(arch.graph()).macs - 40e6)

    named = families.architecture("shufflenet_g3_shallow")
    assert isinstance(named, ShuffleNetV1)
    assert named.stage_channels(2) == min(range(120, 240, 3), key=distance)
    assert len(list(named.units())) == 8
