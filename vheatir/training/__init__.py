"""Training: the loop, what it trains, and the files it writes."""
