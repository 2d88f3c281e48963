"""Names of experiments in upper and lower case."""

from pathlib import Path

import pytest

from jd import namecase, settings
from jd.errors import UsageError
from jd.settings import SERVER, WORKER


def test_what_differs_in_case_only(tmp_path: Path) -> None:
    for name in ("demo", "Demo", "DEMO", "demo2", "dem"):
        (tmp_path / name).mkdir()
    assert namecase.others(tmp_path, "demo") == [tmp_path / "DEMO", tmp_path / "Demo"]
    assert namecase.others(tmp_path, "dem") == namecase.others(tmp_path / "nowhere", "demo") == []


def test_one_directory_of_a_file_system_without_cases_is_no_other(tmp_path: Path) -> None:
    (tmp_path / "Demo").mkdir()
    (tmp_path / "demo").symlink_to(tmp_path / "Demo")  # as such a file system answers
    assert namecase.others(tmp_path, "demo") == []


@pytest.mark.parametrize("given, name", [("Demo", "demo"), (" Demo-2 ", "demo-2"), ("demo", "demo")])
def test_a_name_is_lower_case_wherever_it_is_given(given: str, name: str) -> None:
    assert settings.value_of(WORKER, "expId", {"JD_EXP_ID": given}) == name
    assert settings.value_of(SERVER, "expId", {"JD_SERVER_EXP_ID": given}) == name


def test_it_is_said_where_it_differs() -> None:
    assert settings.lowered({"expId": "Demo"}, {}) == [
        "expId=: Demo is the experiment demo, names are in lower case"]
    assert settings.lowered({}, {"JD_EXP_ID": "DEMO"}) == [
        "JD_EXP_ID: DEMO is the experiment demo, names are in lower case"]
    assert settings.lowered({"expId": "Demo"}, {}, SERVER, "--%s")[0].startswith("--expId: Demo is")
    assert settings.lowered({"expId": "demo"}, {"JD_EXP_ID": "Demo"}) == settings.lowered({}, {}) == []
    key = "jd_" + "Abc0" * 10
    assert key[-12:] not in settings.lowered({"expId": key}, {})[0]
    with pytest.raises(UsageError):
        settings.lowered({"expId": "../Demo"}, {})
