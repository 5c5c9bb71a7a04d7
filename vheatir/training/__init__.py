"""Training: the model that BasicSR drives, its schedule and its checkpoints."""
