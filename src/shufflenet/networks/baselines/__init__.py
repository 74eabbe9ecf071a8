"""The networks that the paper compares ShuffleNet with, and what users compare it with first: one file per family."""
