"""Packaging on the standard library: what `pip install .` runs, with nothing to download.

`backend` answers pip (PEP 517 and 660), `python -m jd.dist` builds without any tool (wheel, sdist,
jd-worker.pyz, the bundle for machines without a network), and `python -m jd.dist.install` installs where
there is no pip; a bundle's install.sh runs it. Nothing else in `jd` imports this room.
"""
