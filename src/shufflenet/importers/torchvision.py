"""torchvision's networks are ShuffleNet v2, another architecture."""

from shufflenet.importers.source import Source

SOURCE = Source(
    name="torchvision",
    page="https://pytorch.org/vision/stable/models/shufflenetv2.html",
    key="",
    networks={},
    refusal="its networks are ShuffleNet v2 (arXiv 1807.11164), which splits channels and has no group convolutions; "
    "this package runs ShuffleNet v1",
)
