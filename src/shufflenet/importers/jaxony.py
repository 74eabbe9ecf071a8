"""jaxony's one network, which no weights of the paper's network can equal."""

from shufflenet.importers.source import PublicNetwork, Source

SOURCE = Source(
    name="jaxony",
    page="https://github.com/jaxony/ShuffleNet",
    key="",
    networks={"shufflenet_g3_x1_0": PublicNetwork("shufflenet_g3_x1_0", 37.8, 15.8)},
    refusal="it has neither batch norm nor ReLU behind Conv1; the paper's network has a ReLU there, which cuts off "
    "values that this one lets pass",
)
