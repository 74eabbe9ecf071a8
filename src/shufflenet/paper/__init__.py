"""The paper's tables (arXiv 1707.01083), each with our figures beside the published ones."""
