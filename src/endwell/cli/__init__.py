"""Layer 6: commands for people."""
