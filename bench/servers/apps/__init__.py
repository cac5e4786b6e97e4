"""One application for each framework: the same few routes, each in the way that framework's own documentation shows.

What they serve is in `bench/servers/content.py`:

- `GET /text`: `TEXT` as plain text.
- `GET /json`: `DOCUMENT`, serialised in the handler by the framework's own JSON response.
- `POST /echo`: the request's body as it came, read whole.
- `GET /file`: the file whose path is in the environment variable `FILE`, by the framework's own file response.
- `ROUTES`, a hundred of them after these four: all answer with the parameter `id`, or with `-` where there is none.

Nothing is tuned that the framework's users would not tune. The commands that start them are in `peers.py`.
"""
