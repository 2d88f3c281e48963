from pathlib import Path
from typing import Callable

import pytest

from jd import settings, settingvalues
from jd.errors import UsageError

TABLE = (
    settings.Setting("port", "JD_PORT", "5000", settingvalues.whole(1, 65535), "a port"),
    settings.Setting("key", "JD_KEY", None, settingvalues.secret, "a key", secret=True),
)


def test_the_argument_wins_over_the_variable_and_that_over_the_default() -> None:
    assert settings.resolve(TABLE, {}, {})["port"] == 5000
    assert settings.resolve(TABLE, {}, {"JD_PORT": "1"})["port"] == 1
    assert settings.resolve(TABLE, {"port": "2"}, {"JD_PORT": "1"})["port"] == 2
    assert settings.resolve(TABLE, {}, {"JD_PORT": "  "})["port"] == 5000


def test_errors_name_where_the_value_came_from_and_what_is_allowed() -> None:
    with pytest.raises(UsageError, match="port=: 'x' is not allowed; give a whole number from 1"):
        settings.resolve(TABLE, {"port": "x"}, {})
    with pytest.raises(UsageError, match="--port: '0'"):
        settings.resolve(TABLE, {"port": "0"}, {}, style="--%s")
    with pytest.raises(UsageError, match="JD_PORT: '70000'"):
        settings.resolve(TABLE, {}, {"JD_PORT": "70000"})


def test_secrets_are_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        settings.resolve(TABLE, {"key": "my secret"}, {})
    assert "my secret" not in str(caught.value) and "key=" in str(caught.value)


@pytest.mark.parametrize("text, value", [
    ("true", True), ("1", True), ("YES", True), ("on", True), ("false", False), ("0", False),
    ("no", False), ("off", False), ("", False)])
def test_booleans(text: str, value: bool) -> None:
    assert settingvalues.boolean(text) is value


@pytest.mark.parametrize("parse, text", [
    (settingvalues.boolean, "maybe"), (settingvalues.whole(0, 9), "10"), (settingvalues.whole(0, 9), "1.0"),
    (settingvalues.seconds(0), "nan"), (settingvalues.seconds(0), "inf"), (settingvalues.seconds(1), "0"),
    (settingvalues.text, "a\nb"), (settingvalues.secret, ""), (settingvalues.one_of("a"), "b"),
    (settingvalues.path, ""), (settingvalues.path, "a\0"), (settingvalues.path, "~no_such_user/x"),
    (settingvalues.server_url, "http://"), (settingvalues.server_url, ""),
    (settingvalues.server_url, "ftp://h"),
    (settingvalues.server_url, "http://h:port"), (settingvalues.server_url, "http://h/?q"),
    (settingvalues.dashboard_url, "https://portal/a//b"), (settingvalues.dashboard_url, "h:1/../x"),
    (settingvalues.dashboard_url, "h:1/jobs"), (settingvalues.dashboard_url, "h/" + "x" * 400),
    (settingvalues.dashboard_url, "h/a;b"), (settingvalues.dashboard_url, "h/%zz"),
    (settingvalues.experiment, "../x"), (settingvalues.experiment, ""), (settingvalues.experiment, "a/b"),
    (settingvalues.experiment, "x" * 101), (settingvalues.experiment, ".hidden"),
    (settingvalues.thread_count, "000000001" + "9" * 30), (settingvalues.gpu_share, "000000001" + "9" * 30),
    (settingvalues.size(1, 2 ** 50), "1" + " " * 60 + "x"),
    (settingvalues.tags, "a b"), (settingvalues.tags, ".a"), (settingvalues.tags, "x" * 65),
    (settingvalues.tags, ",".join("t%d" % n for n in range(17))),
    (settingvalues.modules, "numpy.py/x"), (settingvalues.modules, "a b"), (settingvalues.modules, "a,-m"),
    (settingvalues.modules, ",".join("m%d" % n for n in range(33))), (settingvalues.modules, "m" * 2001),
])
def test_what_cannot_be_used_is_refused(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@pytest.mark.parametrize("text, url", [
    ("localhost", "http://localhost"), ("10.0.0.1:80", "http://10.0.0.1:80"),
    ("https://h.example/base/", "https://h.example/base"), ("[::1]:5000", "http://[::1]:5000")])
def test_bare_hosts_become_urls(text: str, url: str) -> None:
    assert settingvalues.server_url(text) == url


@pytest.mark.parametrize("text, url", [
    ("h:1", "http://h:1"), ("https://h/", "https://h"), ("https://h/node/n1/5050", "https://h/node/n1/5050/"),
    ("https://h/user/a%40b.example/proxy/5050/", "https://h/user/a%40b.example/proxy/5050/")])
def test_the_url_of_a_dashboard_may_have_a_path(text: str, url: str) -> None:
    assert settingvalues.dashboard_url(text) == url


def test_names_of_modules() -> None:
    assert settingvalues.modules(" numpy, torch.nn ,numpy,script") == ("numpy", "torch.nn", "script")


def test_tags_are_words_and_each_counts_once() -> None:
    assert settingvalues.tags(" gpu-a100, big ,gpu-a100,") == ("gpu-a100", "big")
    assert settingvalues.tags(",".join("t%d" % n for n in range(16)))[15] == "t15"


def test_every_default_can_be_parsed() -> None:
    for table in (settings.WORKER, settings.MANAGEMENT, settings.SCRIPT, settings.SERVER,
                  settings.HUB):
        values = settings.resolve(table, {}, {})
        assert ({key for key, value in values.items() if value is not None}
                == {setting.key for setting in table if setting.default is not None})


def test_names_and_variables_are_unique_in_each_table() -> None:
    for table in (settings.WORKER, settings.SERVER):
        for attribute in ("name", "key", "variable"):
            names = [getattr(s, attribute) for s in table if getattr(s, attribute)]
            assert len(names) == len(set(names))


def test_path_expands_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert settingvalues.path("~/x") == Path("/home/ann/x")


@pytest.mark.parametrize("text, seconds", [
    ("90", 90.0), ("90s", 90.0), ("10m", 600.0), ("1.5h", 5400.0), (" 2D ", 172800.0)])
def test_times_as_people_write_them(text: str, seconds: float) -> None:
    assert settingvalues.duration(0)(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-1", "1w", "10 m n", "nan", "infh", "1e9d", "0"])
def test_times_that_cannot_be(text: str) -> None:
    with pytest.raises(ValueError, match="as 90, 10m, 2h or 1d"):
        settingvalues.duration(1)(text)
