"""HTTP/1.1 on the standard library, without a framework.

The calling side is here: `client` for calls, `retry` for making them again; `sending`, `answers` and
`outbound` belong to it. `multipart`, `jsonbody` and `addresses` serve both sides.
"""
