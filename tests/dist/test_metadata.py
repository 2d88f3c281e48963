"""pyproject.toml to metadata: nothing lost, every mistake named."""

from email import message_from_string
from pathlib import Path

import pytest

import jd
from jd.dist.metadata import ProjectError, entry_points_text, load_project, metadata_text, read_version
from jd.errors import StorageError
from tests.dist.trees import PYPROJECT, make_tree, put
from tests.support import ROOT


def test_metadata_says_what_pyproject_says(tmp_path: Path) -> None:
    extra = PYPROJECT.replace('readme =', 'authors = [{name = "Ann"}]\nreadme =').replace(
        "[project.scripts]", '[project.urls]\nHome = "https://example.org"\n\n[project.scripts]')
    project = load_project(make_tree(tmp_path, **{"pyproject.toml": extra}))
    text = metadata_text(project)
    message = message_from_string(text)
    assert message.items() == [
        ("Metadata-Version", "2.1"), ("Name", "jd-worker"), ("Version", "1.0"),
        ("Summary", "A small project"), ("Author", "Ann"), ("License", "MIT"),
        ("Project-URL", "Home, https://example.org"), ("Keywords", "one,two"),
        ("Classifier", "Programming Language :: Python :: 3"), ("Requires-Python", ">=3.8"),
        ("Description-Content-Type", "text/markdown")]
    assert text.endswith("\n\n# Small\n\nWith a snowman: \u2603\n")
    assert entry_points_text(project) == "[console_scripts]\njd_hello = jd.hello:entry\n"


def test_line_ends_of_the_readme_make_no_difference(tmp_path: Path) -> None:
    tree = make_tree(tmp_path)
    before = metadata_text(load_project(tree))
    (tree / "README.md").write_bytes((tree / "README.md").read_bytes().replace(b"\n", b"\r\n"))
    assert metadata_text(load_project(tree)) == before


def test_the_version_is_that_of_the_package() -> None:
    assert read_version(ROOT / "jd" / "__init__.py") == jd.__version__


@pytest.mark.parametrize("old, new, message", [
    ("[project]", "[project", "expected"),
    ('"MIT"}', '"MIT"}\ndependencies = ["requests"]', "project.dependencies is not passed on"),
    ('name = "jd-worker"', 'name = "jd worker"', "project.name must be"),
    ('name = "jd-worker"\n', "", "project.name must be one line of text, not None"),
    ("A small project", "A small\\nName: other", "project.description must be one line"),
    ('["version"]', '["version", "readme"]', "project.dynamic must be"),
    ('{text = "MIT"}', '"MIT"', "project.license must be a table"),
    ('["one", "two"]', '["one", 2]', "project.keywords must be a list"),
    ('"README.md"', '"../README.md"', "project.readme must be a file beside"),
    ("jd.hello:entry", "jd.hello", "project.scripts must be a table"),
])
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in PYPROJECT
    tree = make_tree(tmp_path, **{"pyproject.toml": PYPROJECT.replace(old, new, 1)})
    with pytest.raises(ProjectError) as caught:
        load_project(tree)
    assert str(tree / "pyproject.toml") in str(caught.value)
    assert message.lower() in str(caught.value).lower()


@pytest.mark.parametrize("source, message", [
    ("version = '1.0'\n", "found no line __version__"),
    ("__version__ = str(1)\n", "found no line __version__"),
    ("__version__ = 'one'\n", "'one'; give a version such as"),
    ("__version__ = 1.0\n", "1.0; give a version such as"),
    ("__version__ = (\n", "__init__.py"),
])
def test_a_version_that_cannot_be_read_is_named(tmp_path: Path, source: str, message: str) -> None:
    put(tmp_path, {"__init__.py": source})
    with pytest.raises(ProjectError) as caught:
        read_version(tmp_path / "__init__.py")
    assert message in str(caught.value)


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as no_project:
        load_project(tmp_path)
    assert "no pyproject.toml in %s" % tmp_path in str(no_project.value)
    put(tmp_path, {"pyproject.toml": "[build-system]\nrequires = []\n"})
    with pytest.raises(ProjectError) as no_table:
        load_project(tmp_path)
    assert "there is no [project] table" in str(no_table.value)
    tree = make_tree(tmp_path)
    (tree / "README.md").unlink()
    with pytest.raises(StorageError) as no_readme:
        load_project(tree)
    assert str(tree / "README.md") in str(no_readme.value)
    (tree / "README.md").write_bytes(b"\xff")
    with pytest.raises(ProjectError) as not_text:
        load_project(tree)
    assert "is not UTF-8" in str(not_text.value)
    (tree / "README.md").write_bytes(b"x" * (2 * 1024 * 1024 + 1))
    with pytest.raises(ProjectError) as too_large:
        load_project(tree)
    assert "larger than" in str(too_large.value)
