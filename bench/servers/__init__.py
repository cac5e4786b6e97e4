"""The servers' part of the benchmark: endwell's server and its peers under wrk on loopback. See `bench/README.md`.

Each server serves the same application, `apps/`, in a process of its own on one CPU; wrk is on another.
"""
