"""The networks: the family, what it is compared with, and their PyTorch modules."""
