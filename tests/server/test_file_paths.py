"""Uploads from directories: what clients may say of their path, and what people get back."""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import List, Optional

import pytest

from jd import protocol as p
from jd.protocol import ProtocolError
from jd.server.dashboard import zipping
from jd.server.jobfolder import Member
from jd.server.store.files import files
from tests.server.parts_bench import PartsBench, Run, run_bench

DOWNLOAD = "/api/jobs/1/uploads/download?filename="


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda scenario: run_bench(tmp_path, scenario)


@pytest.mark.parametrize("path", [
    "ckpt/a.pt", ".hydra/config.yaml", "a/b c/größe", "x/" + "n" * 255, "a" + "/b" * 32])
def test_a_path_below_the_directory_is_taken(path: str) -> None:
    assert files.check_path(path) == path


def test_a_file_directly_in_the_directory_has_its_name_alone() -> None:
    assert files.check_path("a.pt") is None


@pytest.mark.parametrize("path", [
    "", "/etc/passwd", "../a", "a/../../b", "a/..", "a//b", "./a", "a/./b", "a/", "a\\b/c", "a\0/b", "a/b\n",
    "x/" + "n" * 256, "a" + "/b" * 33, "a/" + "/".join(["n" * 200] * 5), "a/\udcff"])
def test_any_other_path_is_refused(path: str) -> None:
    with pytest.raises(ProtocolError, match="path"):
        files.check_path(path)


async def busy(bench: PartsBench) -> None:
    await bench.create({"x": 1})
    await bench.beat()


async def listed(bench: PartsBench) -> List[str]:
    return [file["path"] for file in (await bench.get("/web/job?id=1")).json["files"]]


def test_files_keep_their_path_on_pages_in_downloads_and_in_the_zip(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await busy(bench)
        await bench.upload(1, ".hydra__config.yaml", "first", path=".hydra/config.yaml")
        await bench.upload(1, ".hydra__config.yaml", "second", path=".hydra/config.yaml")
        await bench.upload(1, "plain.txt", "plain", path="plain.txt")
        assert await listed(bench) == ["plain.txt", ".hydra/config_v1.yaml", ".hydra/config.yaml"]
        archive = zipfile.ZipFile(io.BytesIO((await bench.get("/web/job/zip?id=1")).content))
        assert {name: archive.read(name) for name in archive.namelist() if not name.endswith(".json")} == {
            "job-1/earlier/.hydra/config.yaml": b"first", "job-1/.hydra/config.yaml": b"second",
            "job-1/plain.txt": b"plain"}
        described = json.loads(archive.read("job-1/job.json"))["files"]
        assert described[0]["path"] == ".hydra/config.yaml"
        answer = await bench.get("/web/job/file?id=1")
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="config.yaml"')
    run(scenario)


def test_published_clients_see_the_names_that_they_know(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await busy(bench)
        await bench.upload(1, "ckpt__a.pt", "in ckpt", path="ckpt/a.pt")
        await bench.upload(1, "b.pt", "b")
        found = (await bench.send("GET", "/api/jobs/1/uploads")).json["uploads"]
        assert [(one["filename"], one.get("path")) for one in found] == [
            ("b.pt", None), ("ckpt__a.pt", "ckpt/a.pt")]
        for name, saved_as in (("ckpt__a.pt", "ckpt__a.pt"), ("ckpt%2Fa.pt", "a.pt")):
            answer = await bench.send("GET", DOWNLOAD + name)
            assert answer.content == b"in ckpt"
            assert 'filename="%s"' % saved_as in answer.headers["Content-Disposition"]
        for name, status in (("ckpt%2Fb.pt", 404), ("..%2Fa", 400), ("%2Fetc%2Fpasswd", 400)):
            assert (await bench.send("GET", DOWNLOAD + name)).status == status
    run(scenario)


def test_a_file_and_one_in_a_directory_with_the_same_flat_name_are_two(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await busy(bench)
        await bench.upload(1, "a__b", "file")
        await bench.upload(1, "a__b", "in a", path="a/b")
        assert await listed(bench) == ["a/b", "a__b"]
        assert (await bench.send("GET", DOWNLOAD + "a%2Fb")).content == b"in a"
        assert sorted(os.listdir(str(bench.experiment.data_dir / "1"))) == ["a__b", "a__b_v1"]
    run(scenario)


def test_a_path_that_leads_out_is_refused_and_nothing_is_kept(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await busy(bench)
        await bench.upload(1, "a", "x", status=400, path="../../a")
        assert await listed(bench) == []
    run(scenario)


def test_rows_from_before_there_were_paths_have_their_stored_name(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await busy(bench)
        await bench.upload(1, "ckpt__a.pt", "1")
        assert await listed(bench) == ["ckpt__a.pt"]
    run(scenario)


@pytest.mark.parametrize("paths, packed", [
    (["out", "out/a"], ["out", "out (1)/a"]), (["out/a", "out"], ["out/a", "out (1)"]),
    (["A/x", "a/X"], ["A/x", "a/X (1)"]), (["a:b/c?", "a_b/c_"], ["a_b/c_", "a_b/c_ (1)"]),
    (["a/job.json", "job.json"], ["a/job.json", "job (1).json"]), (["a/b.", "a/b"], ["a/b", "a/b (1)"])])
def test_what_no_system_could_unpack_side_by_side_gets_another_name(tmp_path: Path, paths: List[str],
                                                                    packed: List[str]) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    content = b"".join(zipping.pack("z", [Member(file, path, 0.0) for path in paths], "job.json",
                                    lambda gone: b"{}", 0.0))
    names: List[Optional[str]] = [name[2:] for name in zipfile.ZipFile(io.BytesIO(content)).namelist()]
    assert names == packed + ["job.json"]


def test_the_extension_is_offered() -> None:
    assert p.EXT_PATHS in p.EXTENSIONS
