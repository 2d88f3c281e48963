"""The build backend that pyproject.toml names: PEP 517 and PEP 660, with nothing to download.

Each hook builds the tree that this file lies in. `config_settings` has nothing to set.
"""

import os
from pathlib import Path
from typing import Any, List, Mapping, Optional

from jd.dist import archive, sdist, wheel
from jd.dist.metadata import Project, load_project

Config = Optional[Mapping[str, Any]]


def source_root() -> Path:
    """The directory that holds pyproject.toml and `jd`, wherever it is called from."""
    return Path(os.path.abspath(__file__)).parents[2]


def _project() -> Project:
    return load_project(source_root())


def get_requires_for_build_wheel(config_settings: Config = None) -> List[str]:
    """Nothing."""
    return []


def get_requires_for_build_sdist(config_settings: Config = None) -> List[str]:
    """Nothing."""
    return []


def get_requires_for_build_editable(config_settings: Config = None) -> List[str]:
    """Nothing."""
    return []


def build_wheel(wheel_directory: str, config_settings: Config = None,
                metadata_directory: Optional[str] = None) -> str:
    """Build the wheel; its file name."""
    return wheel.build_wheel(_project(), Path(wheel_directory)).name


def build_editable(wheel_directory: str, config_settings: Config = None,
                   metadata_directory: Optional[str] = None) -> str:
    """Build the wheel of an editable installation; its file name."""
    return wheel.build_editable(_project(), Path(wheel_directory)).name


def build_sdist(sdist_directory: str, config_settings: Config = None) -> str:
    """Build the sdist; its file name."""
    return sdist.build_sdist(_project(), Path(sdist_directory)).name


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Config = None) -> str:
    """Write the .dist-info directory that the wheel will have, without RECORD; its name."""
    project = _project()
    for entry in wheel.dist_info_entries(project):
        archive.write_whole(Path(metadata_directory) / entry.name, entry.data)
    return project.dist_info


def prepare_metadata_for_build_editable(metadata_directory: str,
                                        config_settings: Config = None) -> str:
    """The same: an editable installation differs in its payload only."""
    return prepare_metadata_for_build_wheel(metadata_directory, config_settings)
