"""The serving side of HTTP: only servers import it.

A program puts handlers into a `routing.Router` and gives it to `server.HttpServer`. Handlers know `Request`,
`Response` and `HttpError` of `routing`; the server runs on `parser`, `connection`, `body` and `responsehead`.
"""
