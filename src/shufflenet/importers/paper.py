"""Any network built as the paper's Figure 2 and `networks.network` are: its state dict, by whatever names."""

from shufflenet.importers.source import Source

SOURCE = Source(name="paper", page="arXiv 1707.01083", key=".pointwise1.", networks={})
