"""Layer 3: one wire protocol over one transport; the exchange; body streams."""
