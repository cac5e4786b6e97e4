"""Layer 1: HTTP's vocabulary; no I/O."""
