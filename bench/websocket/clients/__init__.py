"""One adapter for each client of WebSockets, in the way that client's own documentation shows.

An adapter is a class `Client` in a module of this package, used in `async with`: `connect(url)` opens a WebSocket, with
permessage-deflate or without, `echo(ws, message)` sends a message and waits for one. `worker.py` compares them.
"""
