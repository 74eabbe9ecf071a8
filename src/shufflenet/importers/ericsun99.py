"""ericsun99's one network, which is built like jaxony's."""

from shufflenet.importers import jaxony
from shufflenet.importers.source import PublicNetwork, Source

SOURCE = Source(
    name="ericsun99",
    page="https://github.com/ericsun99/ShuffleNet-1g8-Pytorch",
    key="",
    networks={"ShuffleNet_1g8": PublicNetwork("shufflenet_g8_x1_0", 32.592, 12.742)},
    convention=jaxony.SOURCE.convention,
)
