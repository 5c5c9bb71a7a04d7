"""Training and evaluation data: where images come from, how they are degraded, how they are drawn."""
