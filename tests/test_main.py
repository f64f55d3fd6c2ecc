"""The command line: exit statuses, and one plain line on stderr for a user's mistake."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import drumjax
from drumjax.__main__ import COMMANDS, main, module_of
from drumjax.errors import ConfigError

ROOT = Path(__file__).parents[1]


def shell(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=ROOT, timeout=120
    )


def test_without_a_command_the_list_goes_to_stderr(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    for name, about in COMMANDS.items():
        assert name in err
        assert about in err


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_goes_to_stdout(flag, capsys):
    assert main([flag]) == 0
    out, err = capsys.readouterr()
    assert all(name in out for name in COMMANDS)
    assert err == ""


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"drumjax {drumjax.__version__}\n"


def test_the_version_is_that_of_the_package_metadata():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert drumjax.__version__ == project["version"]


def test_an_unknown_command_is_named(capsys):
    assert main(["drum"]) == 2
    assert capsys.readouterr().err.startswith("drumjax: there is no command 'drum'.\n")


def test_the_list_is_what_stands_in_commands():
    files = {path.stem for path in (ROOT / "drumjax" / "commands").glob("[!_]*.py")}
    assert {module_of(name).rpartition(".")[2] for name in COMMANDS} == files


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    try:
        status = main([name, "--help"])
    except SystemExit as stop:  # argparse
        status = stop.code
    assert status == 0
    assert "--" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"train"}))
def test_a_wrong_flag_is_status_2(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--no_such_flag"])
    assert stop.value.code == 2
    assert f"drumjax {name}: error" in capsys.readouterr().err


def raiser(error: BaseException):
    def command(argv):
        raise error

    return command


def test_a_users_mistake_is_one_line_and_status_1(monkeypatch, capsys):
    monkeypatch.setattr("drumjax.commands.sample.main", raiser(ConfigError("Choose a drum.")))
    assert main(["sample"]) == 1
    assert capsys.readouterr().err == "drumjax sample: Choose a drum.\n"


def test_an_interruption_is_status_130(monkeypatch, capsys):
    monkeypatch.setattr("drumjax.commands.sample.main", raiser(KeyboardInterrupt()))
    assert main(["sample"]) == 130
    assert "drumjax sample: interrupted" in capsys.readouterr().err


def test_a_defect_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("drumjax.commands.sample.main", raiser(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["sample"])


@pytest.mark.parametrize(("lines", "reader", "read"), [(1, "true", ""), (9**5, "head -1", "a\n")])
def test_a_reader_that_has_seen_enough_is_no_error(lines, reader, read):
    code = (
        "import sys, time, drumjax.__main__ as m, drumjax.commands.sample as s\n"
        f"s.main = lambda argv: [print('a') for _ in range({lines})] and time.sleep(0.2) or 0\n"
        "sys.exit(m.main(['sample']))"
    )
    done = subprocess.run(
        f'"{sys.executable}" -c "$CODE" | {reader}; exit ${{PIPESTATUS[0]}}',
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        env={**os.environ, "CODE": code},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, read, "")


def test_what_is_not_installed_is_named(monkeypatch, capsys):
    missing = ModuleNotFoundError("No module named 'flax'", name="flax.linen")
    monkeypatch.setattr("drumjax.commands.sample.main", raiser(missing))
    assert main(["sample"]) == 1
    error = capsys.readouterr().err
    assert "flax.linen is not installed" in error
    assert error.count("\n") == 1
    defect = ModuleNotFoundError("No module named 'x'", name="drumjax.x")
    monkeypatch.setattr("drumjax.commands.sample.main", raiser(defect))
    with pytest.raises(ModuleNotFoundError):
        main(["sample"])


def test_a_missing_work_directory_is_status_1(tmp_path, capsys):
    flags = [f"--cwae={tmp_path / 'no'}", f"--mcnn={tmp_path / 'no'}"]
    assert main(["sample", *flags, f"--output={tmp_path / 'out'}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("drumjax sample: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_train_hands_its_flags_over(monkeypatch):
    seen = []
    monkeypatch.setattr("drumjax.train.main", lambda argv: seen.append(argv) or 0)
    assert main(["train", "--config=a.py", "--workdir=b"]) == 0
    assert seen == [["drumjax train", "--config=a.py", "--workdir=b"]]


def test_both_ways_to_train_answer_alike(tmp_path):
    flags = ["--config=configs/cwae.py:none", f"--workdir={tmp_path / 'run'}"]
    ways = [shell("-m", "drumjax.train", *flags), shell("-m", "drumjax", "train", *flags)]
    assert [way.returncode for way in ways] == [1, 1]
    assert ways[0].stderr == ways[1].stderr
    assert ways[0].stderr.startswith("drumjax train: configs/cwae.py has no variant 'none'")
    assert not (tmp_path / "run").exists()


def test_train_without_flags_is_status_2(tmp_path):
    done = shell("-m", "drumjax", "train", f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 2
    assert "--config" in done.stderr
