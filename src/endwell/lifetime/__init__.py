"""Layer 0: who owns what, and how it ends."""
