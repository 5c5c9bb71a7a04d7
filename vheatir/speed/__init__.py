"""What restoring costs: multiply-adds, seconds, memory; ours and others' in one interleaved run."""
