"""From a model to a plan, and the C engine that runs it."""
