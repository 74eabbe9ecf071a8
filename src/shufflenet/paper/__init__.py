"""The paper's tables (arXiv 1707.01083): the published figures, and this package's beside them."""
