"""One application for each kind of server: each message is sent back, as that server's own documentation shows it.

Nothing is tuned that the server's users would not tune; whether messages are compressed is what the client asks for.
The commands that start them are in `peers.py`.
"""
