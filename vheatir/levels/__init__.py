"""The levels of degradation that nobody told: noise and JPEG quality, read from the image."""
