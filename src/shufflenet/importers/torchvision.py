"""torchvision's networks are ShuffleNet v2, another architecture, which model files do not hold."""

from shufflenet.importers.source import Source

SOURCE = Source(
    name="torchvision",
    page="https://pytorch.org/vision/stable/models/shufflenetv2.html",
    key="",
    networks={},
    refusal="its networks are ShuffleNet v2 (arXiv 1807.11164), which splits channels and has no group convolutions; "
    "model files hold ShuffleNet v1 (the engine runs v2 too: docs/models.md)",
)
