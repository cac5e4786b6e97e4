"""Layer 2: bytes to events and back; no I/O, no clock."""
