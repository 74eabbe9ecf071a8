"""`shufflenet bench`: times this package's engine and public runtimes side by side.

All runtimes get the same weights, input and number of threads, and run in turns; a row is the median. The logits of
every runtime are first compared with PyTorch's, and a runtime whose logits differ is not timed.
"""
