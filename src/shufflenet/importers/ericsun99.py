"""ericsun99's one network, whose structure is not known well enough."""

from shufflenet.importers.source import PublicNetwork, Source

SOURCE = Source(
    name="ericsun99",
    page="https://github.com/ericsun99/ShuffleNet-1g8-Pytorch",
    key="",
    networks={"ShuffleNet_1g8": PublicNetwork("shufflenet_g8_x1_0", 32.592, 12.742)},
    refusal="its page does not say in which order it shuffles and concatenates; if its code does both as the paper, "
    "import it with: shufflenet import paper --file FILE",
)
