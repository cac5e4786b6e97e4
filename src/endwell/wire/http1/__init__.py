"""HTTP/1.1 framing (RFC 9112) over httptools."""
