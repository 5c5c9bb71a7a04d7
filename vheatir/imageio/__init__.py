"""Image files in and out: pixels, metadata, damage."""
