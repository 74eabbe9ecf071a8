"""jaxony's one network: neither batch norm nor ReLU behind the first convolution."""

from shufflenet.importers.convention import Convention
from shufflenet.importers.source import PublicNetwork, Source

SOURCE = Source(
    name="jaxony",
    page="https://github.com/jaxony/ShuffleNet",
    key=".g_conv_1x1_compress.",
    networks={"shufflenet_g3_x1_0": PublicNetwork("shufflenet_g3_x1_0", 37.8, 15.8)},
    convention=Convention(stem_relu=False),
)
