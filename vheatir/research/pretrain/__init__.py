"""QB-Heat pretraining: a quarter of the image is encoded, the rest is extrapolated from it linearly.

Source of the idea: Chen et al., "Self-Supervised Learning based on Heat Equation", arXiv 2211.13228. What is theirs
and what is this project's choice is said in ``docs/pretraining.md``.
"""
