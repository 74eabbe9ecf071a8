"""AlexNet, in the form of one column of filters (arXiv 1404.5997) whose weights are public: Tables 6 and 8.

Names are those of torchvision's state dict. The first AlexNet's two columns and its normalisation are left out.
"""

from __future__ import annotations

from shufflenet.networks.graph import Graph, Node

# torchvision's number, channels, kernel, stride and padding of each convolution; whether a max pool follows.
_CONVOLUTIONS = (
    (0, 64, 11, 4, 2, True), (3, 192, 5, 1, 2, True), (6, 384, 3, 1, 1, False), (8, 256, 3, 1, 1, False),
    (10, 256, 3, 1, 1, True),
)  # fmt: skip


def alexnet(classes: int = 1000) -> Graph:
    graph = Graph("alexnet")
    x: Node = graph.input
    for number, channels, kernel_size, stride, padding, pool in _CONVOLUTIONS:
        name = f"features.{number}"
        x = graph.convolution(name, x, channels, kernel_size, stride=stride, padding=padding, relu=True)
        if pool:
            x = graph.max_pool(f"features.{number + 2}", x, padding=0)
    x = graph.means("avgpool", x, 6)  # of 224 x 224 pixels 6 x 6 are left anyway
    x = graph.fully_connected("classifier.1", x, 4096, "relu")
    x = graph.fully_connected("classifier.4", x, 4096, "relu")
    graph.fully_connected("classifier.6", x, classes)
    return graph


NETWORKS = {"alexnet": alexnet}
