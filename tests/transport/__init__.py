"""Tests of layer 2, the transports."""
