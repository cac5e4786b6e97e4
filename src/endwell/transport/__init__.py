"""Layer 2: sockets, TLS, names and proxies."""
