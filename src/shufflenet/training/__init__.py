"""Training: recipe, data, kernels, the loop, and what it leaves in its run folder."""
