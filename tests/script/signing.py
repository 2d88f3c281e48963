"""Signed checkpoints as a worker's script makes them."""

import io
from typing import Optional

from jd.auth import checkpointkey
from jd.script.signature import Signer, sign

KEY = checkpointkey.of_token("the token of our own server")
OTHER = checkpointkey.of_token("the token of somebody else's server")


def signed(data: bytes, *keys: str, experiment: Optional[str] = "digits-tune", job_id: int = 42) -> bytes:
    """`data` with its signature; with KEY unless others are named."""
    file = io.BytesIO(data)
    sign(file, Signer(keys or (KEY,), experiment, job_id), "it")
    return file.getvalue()
