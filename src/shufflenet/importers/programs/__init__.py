"""Whole networks as other programs write them (ONNX, torch.export), and how they become graphs."""
