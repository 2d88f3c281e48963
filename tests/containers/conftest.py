"""Fixtures that the tests of images and definitions share."""

from tests.bareroot import bare_root
from tests.containers.images import images

__all__ = ["bare_root", "images"]
