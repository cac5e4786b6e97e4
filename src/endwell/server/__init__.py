"""The server's role: applications, routes, requests, responses, and what runs them."""
