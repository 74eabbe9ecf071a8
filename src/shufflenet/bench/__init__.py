"""ShuffleNet on this package's engine and on public runtimes, side by side (`shufflenet bench`).

Same weights, same input, same threads, rounds in turn, medians. Every runtime is first compared with PyTorch, and one
that gives other answers is not timed.
"""
