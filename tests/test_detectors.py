"""torchvision's detectors on our stages: each learns to find drawn squares, in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("torchvision")
import torch
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops import box_iou

import training_runs
from shufflenet import create_model
from shufflenet.engine.engine import Engine
from shufflenet.features import feature_model
from shufflenet.networks.network import ShuffleNet

pytestmark = pytest.mark.slow

SIDE = 64  # pixels
RATIOS = ((0.5, 1.0, 2.0),)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with training_runs.one_thread():
        yield


def network() -> ShuffleNet:
    made = create_model("shufflenet_g3_x0_5", pretrained=True)
    assert isinstance(made, ShuffleNet)
    return made


def pyramid() -> Any:
    body = network()
    channels = [body.arch.stage_channels(stage) for stage in (2, 3, 4)]
    return BackboneWithFPN(body, {"stage2": "0", "stage3": "1", "stage4": "2"}, channels, 32)


def maps() -> Any:
    body = network()
    walker = IntermediateLayerGetter(body, {"stage3": "0", "stage4": "1"})
    walker.out_channels = [body.arch.stage_channels(stage) for stage in (3, 4)]
    return walker


def faster_rcnn() -> Any:
    anchors = AnchorGenerator(((8,), (16,), (32,), (64,)), RATIOS * 4)
    fewer: dict[str, Any] = {
        f"rpn_{when}_nms_top_n_{mode}": 50 for when in ("pre", "post") for mode in ("train", "test")
    }
    return FasterRCNN(
        pyramid(), 2, rpn_anchor_generator=anchors, min_size=SIDE, max_size=SIDE, box_score_thresh=0.3,
        box_batch_size_per_image=32, **fewer,
    )  # fmt: skip


def retinanet() -> Any:
    anchors = AnchorGenerator(((8,), (16,), (32,), (64,)), RATIOS * 4)
    return RetinaNet(pyramid(), 2, anchor_generator=anchors, min_size=SIDE, max_size=SIDE, score_thresh=0.05)


def ssd() -> Any:
    boxes = DefaultBoxGenerator([[2], [2]], scales=[0.25, 0.5, 1.0])
    return SSD(maps(), boxes, (SIDE, SIDE), 2, score_thresh=0.3)


def ssdlite() -> Any:
    backbone, boxes = maps(), DefaultBoxGenerator([[2], [2]], scales=[0.25, 0.5, 1.0])
    head = SSDLiteHead(backbone.out_channels, boxes.num_anchors_per_location(), 2, nn.BatchNorm2d)
    return SSD(backbone, boxes, (SIDE, SIDE), 2, head=head, score_thresh=0.3)


def drawn(count: int, seed: int) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Grey noise with one bright square in each, and where it is."""
    random = torch.Generator().manual_seed(seed)
    pictures, targets = [], []
    for _ in range(count):
        side = int(torch.randint(20, 36, (), generator=random))
        left, top = (int(torch.randint(0, SIDE - side, (), generator=random)) for _ in range(2))
        picture = 0.3 * torch.rand(3, SIDE, SIDE, generator=random)
        picture[:, top : top + side, left : left + side] += 0.6
        box = torch.tensor([[left, top, left + side, top + side]], dtype=torch.float32)
        pictures.append(picture)
        targets.append({"boxes": box, "labels": torch.tensor([1])})
    return pictures, targets


def train(detector: Any, steps: int) -> list[float]:
    """Trains on new drawings in each step; returns the losses."""
    detector.train()
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-3)
    losses = []
    for step in range(steps):
        loss = sum(detector(*drawn(8, step)).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("make", "steps"), [(faster_rcnn, 35), (ssd, 45), (ssdlite, 30)])
def test_a_detector_learns(make: Callable[[], Any], steps: int) -> None:
    torch.manual_seed(0)
    detector: Any = make()
    train(detector, steps)
    pictures, targets = drawn(16, 1000)
    with torch.inference_mode():
        found = detector.eval()(pictures)
    best = [
        float(box_iou(each["boxes"][:1], target["boxes"])) if len(each["boxes"]) else 0.0
        for each, target in zip(found, targets, strict=True)
    ]
    assert sum(overlap > 0.5 for overlap in best) >= 12, best


def test_a_step_of_retinanet_trains_the_backbone() -> None:
    """To find boxes takes it longer than a test may."""
    torch.manual_seed(0)
    detector: Any = retinanet()
    (loss,) = train(detector, 1)
    assert 0 < loss < 10
    unused = [name for name, p in detector.named_parameters() if p.grad is None and ".body.fc." not in name]
    assert not unused
    assert detector.backbone.body.conv1.weight.grad.abs().sum() > 0


@torch.inference_mode()
def test_features_of_the_engine_are_those_of_the_backbone() -> None:
    body = network().eval()
    x = torch.randn(2, 3, 96, SIDE)
    level = IntermediateLayerGetter(body, {"stage4": "0"})(x)["0"]
    ours = Engine(feature_model(body.to_model())).run(x.numpy())
    torch.testing.assert_close(torch.from_numpy(ours), level.mean(dim=(2, 3)), rtol=1e-4, atol=1e-4)
