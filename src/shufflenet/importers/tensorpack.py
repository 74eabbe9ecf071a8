"""tensorpack's one network, which no weights of the paper's network can equal."""

from shufflenet.importers.source import PublicNetwork, Source

SOURCE = Source(
    name="tensorpack",
    page="https://github.com/tensorpack/tensorpack/tree/master/examples/ImageNetModels",
    key="",
    networks={"ShuffleNetV1-0.5x-g3": PublicNetwork("shufflenet_g3_x0_5", 42.32)},
    refusal="TensorFlow pads its stride-2 layers on the right and below only, and its average pooling leaves the "
    "padding out of the average; the paper's network in PyTorch does neither, so its outputs would differ at borders",
)
