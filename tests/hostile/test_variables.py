"""Variables that change how Python finds and reads things, and interpreters that are started oddly."""

from pathlib import Path
from typing import Dict, List

import pytest

from tests.hostile.conftest import install
from tests.hostile.place import TIMEOUT, Place, clean, wrong
from tests.support import ROOT, wait_until

pytestmark = pytest.mark.slow  # sweeps of an installation of its own, one after the other

# What breaks any program that imports them in place of the standard library's.
SHADOWED = ["argparse", "asyncio", "calendar", "http", "json", "logging", "queue", "random", "secrets",
            "select", "socket", "sqlite3", "string", "subprocess", "tempfile", "uuid"]


# As many at once as do not touch one another: each sweep takes seconds.
@pytest.mark.parametrize("environ", [
    {"PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "ascii",
     "PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1", "TZ": "Nowhere/Never"},
    {"PYTHONIOENCODING": "utf-16", "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "", "PYTHONNOUSERSITE": "1",
     "PYTHONHASHSEED": "0", "LC_ALL": "C"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "de_DE.ISO-8859-1", "LANG": "xx_YY.nothing"},
    {"LC_ALL": "", "LANG": "", "COLUMNS": "0", "LINES": "-1", "TERM": "", "SHELL": "/nowhere", "EDITOR": "",
     "PAGER": ""},
], ids=lambda environ: ",".join("%s=%s" % pair for pair in environ.items()))
def test_a_sweep_is_done_with(place: Place, environ: Dict[str, str]) -> None:
    place.environ.update(environ)
    place.sweep()


def test_bytecode_that_can_be_nowhere(place: Place) -> None:
    clean(place.cli("worker-list", PYTHONPYCACHEPREFIX="/dev/null/nowhere"))


def test_modules_of_the_user_do_not_stand_in_for_pythons(place: Place) -> None:
    """Only this program is protected: what a script imports is the user's business."""
    shadows = place.directory / "shadows"
    shadows.mkdir()
    for name in SHADOWED:
        (shadows / (name + ".py")).write_text("raise SystemExit('%s is not Python\\'s')\n" % name)
    place.environ["PYTHONPATH"] = str(shadows)
    place.script.write_text("import sys\nsys.path.remove(%r)\n" % str(shadows)
                            + place.script.read_text())
    place.sweep()


def test_a_parameter_that_the_locale_cannot_carry(place: Place) -> None:
    """The job is not run with another value than it has; its history says what to set."""
    place.parameters = '{"x": ["drei", "grüße"]}'
    place.script.write_text("import sys\nprint(ascii(sys.argv[1:]))\n")
    url = place.url(place.serve("--max-attempts", 1))
    bare = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert "'drei'" in place.work(url, **bare).stdout
    assert "set LC_ALL=C.UTF-8" in place.work(url, **bare).stdout
    assert place.counts(url) == {"DONE": 1, "ABORTED": 1}


def test_a_startup_file_is_not_run(place: Place) -> None:
    startup = place.directory / "startup.py"
    startup.write_text("raise SystemExit(7)\n")
    place.environ["PYTHONSTARTUP"] = str(startup)
    place.sweep()


def test_a_sitecustomize_that_fails_is_only_noise(place: Place) -> None:
    custom = place.directory / "custom"
    custom.mkdir()
    (custom / "sitecustomize.py").write_text("import nothing_of_that_name\n")
    place.environ["PYTHONPATH"] = str(custom)
    _noisy_sweep(place)


def test_a_user_site_that_is_broken_is_only_noise(tmp_path: Path) -> None:
    python = install(tmp_path / "venv")
    configuration = tmp_path / "venv" / "pyvenv.cfg"
    text = configuration.read_text()
    # What a venv leaves out, an installation without one has.
    configuration.write_text(text.replace("packages = false", "packages = true"))
    assert configuration.read_text() != text
    with Place(tmp_path, python) as place:
        told = place.finish(place.python + ["-c", "import site; print(site.getusersitepackages())"])
        packages = Path(told.stdout.strip())
        packages.mkdir(parents=True)
        (packages / "usercustomize.py").write_text("import nothing_of_that_name\n")
        (packages / "broken.pth").write_text("import nothing_of_that_name\n")
        (packages / "json.py").write_text("raise SystemExit('not json')\n")
        _noisy_sweep(place)


def _noisy_sweep(place: Place) -> None:
    url = place.url(place.serve())
    for number, more in ((1, ["foreground=true"]), (2, [])):
        done = place.cli("entry_script=train.py", "server=" + url, "once=true", *more)
        assert done.returncode == 0 and "nothing_of_that_name" in done.stderr, done
        wait_until(lambda: place.counts(url).get("DONE") == number, TIMEOUT, "jobs are done")


NO_LIBRARY = "No module named 'encodings'"  # what every Python says; up to 3.12 also which PYTHONHOME it has


def test_a_python_home_that_is_none(place: Place) -> None:
    """Python itself does not start: that is no success, and the jobs stay where they are."""
    url = place.url(place.serve())
    done = place.work(url, PYTHONHOME="/nowhere")
    assert done.returncode == 1 and NO_LIBRARY in done.stderr
    assert place.counts(url) == {"PENDING": 2}


def test_what_a_job_says_with_a_python_home_that_is_none(place: Place) -> None:
    """`python -E` starts the worker all the same; its jobs fail, and say why."""
    url = place.url(place.serve("--max-attempts", 1))
    place.python.append("-E")
    done = place.work(url, PYTHONHOME="/nowhere")
    assert done.returncode == 1 and NO_LIBRARY in done.stdout
    assert place.counts(url) == {"ABORTED": 1, "PENDING": 1}


@pytest.mark.parametrize("options", [["-I"], ["-E", "-s", "-bb", "-B", "-OO", "-u"],
                                     ["-X", "dev", "-W", "error"]], ids=" ".join)
def test_a_sweep_is_done_by_python(place: Place, options: List[str]) -> None:
    place.python += options
    place.sweep()


def test_a_key_that_is_typed_keeps_the_options_of_python(place: Place) -> None:
    """The command line is run again without the key: as it was."""
    place.python += ["-I", "-W", "error"]
    done = place.cli("api_key=jd_" + "x" * 43, "hub=http://127.0.0.1:9", "health")
    assert "Traceback" not in done.stderr and done.returncode == 1, done


def test_a_sweep_is_done_by_python_without_site(place: Place) -> None:
    """`-S` has no site-packages: the checkout is on PYTHONPATH instead."""
    place.python.append("-S")
    place.environ["PYTHONPATH"] = str(ROOT)
    place.sweep()


def test_python_without_site_and_without_a_path(place: Place) -> None:
    place.python.append("-S")
    done = place.cli("worker-list")
    assert done.returncode == 1 and "No module named 'jd'" in done.stderr


def test_a_checkout_is_run_from_a_directory_with_look_alikes(place: Place) -> None:
    """`python -m` puts the current directory first."""
    for name in SHADOWED:
        (place.directory / (name + ".py")).write_text("raise SystemExit('%s'\n)" % name)
    for module in ("jd.cli", "jd.server", "jd.hub"):
        done = place.finish(place.python + ["-m", module, "--help"])
        assert done.returncode == 0 and wrong(done.stderr) == [], done


def test_a_jd_of_the_user_is_named(place: Place) -> None:
    """Nothing of ours has run yet; Python's last line has to do."""
    (place.directory / "jd.py").write_text("")
    done = place.cli("worker-list", PYTHONPATH=str(place.directory))
    assert done.returncode == 1 and "'jd' is not a package" in done.stderr, done
