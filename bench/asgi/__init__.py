"""The benchmark of ASGI servers: `endwell serve` and its peers under wrk on loopback. See `bench/README.md`.

What makes the load, looks at the answers and takes the time is that of the servers' benchmark, `bench/servers/`.
"""
