"""What tests of users need: servers and clients on real sockets, requests without a socket."""
