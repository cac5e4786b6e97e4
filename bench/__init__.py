"""The benchmark: endwell and its peers against nginx on loopback, in turns, in CPU time. See `bench/README.md`."""
