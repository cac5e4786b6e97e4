"""The benchmark of WebSockets: echoes, on the server's side and on the client's, and idle ones. See `bench/README.md`.

The other side is the benchmark's own and the same for all: `load.py` sends to servers, `echo.py` answers clients.
"""
