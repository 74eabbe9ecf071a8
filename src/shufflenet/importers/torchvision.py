"""torchvision's networks are ShuffleNet v2, another family, whose weights need no import: their names are ours."""

from shufflenet.importers.source import Source

SOURCE = Source(
    name="torchvision",
    page="https://pytorch.org/vision/stable/models/shufflenetv2.html",
    key="",
    networks={},
    refusal="its networks are ShuffleNet v2 (arXiv 1807.11164), not v1, and need no import: "
    "shufflenet.create_model('shufflenet_v2_x1_0') loads torchvision's state dict by name (docs/models.md)",
)
