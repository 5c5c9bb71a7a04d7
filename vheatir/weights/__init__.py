"""Weights files: the bundled ones, their cards, and reading and writing them."""
