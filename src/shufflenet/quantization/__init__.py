"""From a float32 model to one in 8 bits: calibration, rounding of weights, and a gate on what it costs in accuracy."""
