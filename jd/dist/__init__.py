"""Packaging on the standard library: what `pip install .` runs, with nothing to download.

`backend` answers pip (PEP 517 and 660), `python -m jd.dist` builds without any tool, and
`python -m jd.dist.install` installs where there is no pip.
"""
