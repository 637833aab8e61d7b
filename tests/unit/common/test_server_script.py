"""What the servers' entrypoints share, run by bash."""

import subprocess
from pathlib import Path

from common.settings import ROOT


def bash(script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f'source "{ROOT}/common/server.sh"; {script}'],
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_template_is_filled_in_literally(tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.write_text('a=${ONE}\nb=${TWO}${ONE} $HOME $(id) `id` \\n "quoted"\n')

    done = bash(f"render {template}", ONE="x&y\\1", TWO="$(id)")

    assert done.stdout == 'a=x&y\\1\nb=$(id)x&y\\1 $HOME $(id) `id` \\n "quoted"\n'


def test_a_template_with_an_unknown_name_is_an_error(tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.write_text("a=${NOT_SET}\n")

    done = bash(f"render {template}")

    assert (done.returncode, done.stderr) == (1, "The setting NOT_SET was missing.\n")


def test_passwords_are_read_but_not_passed_on(tmp_path: Path) -> None:
    (tmp_path / "secrets.env").write_text("SOME_PASSWORD=abc123\n")

    done = bash('load_secrets SOME_PASSWORD; echo "$SOME_PASSWORD"; env', MARKET_HOME=str(tmp_path))

    assert done.stdout.startswith("abc123\n")
    assert "SOME_PASSWORD" not in done.stdout


def test_a_missing_password_is_named(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.env"
    secrets.write_text("OTHER_PASSWORD=abc\n")

    done = bash("load_secrets SOME_PASSWORD", MARKET_HOME=str(tmp_path))

    assert done.returncode == 1
    assert done.stderr == (
        f"The password SOME_PASSWORD in {secrets} was missing "
        "or held something else than letters and digits.\n"
    )


def test_a_missing_file_of_passwords_is_named(tmp_path: Path) -> None:
    done = bash("load_secrets SOME_PASSWORD", MARKET_HOME="/", MARKET_SECRETS=str(tmp_path / "none"))

    assert (done.returncode, done.stderr) == (
        1,
        f"The file of passwords, {tmp_path / 'none'}, was missing or not readable.\n",
    )


def test_a_missing_java_is_one_sentence(tmp_path: Path) -> None:
    done = bash("find_java", JAVA_HOME=str(tmp_path))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Java was not found at {tmp_path}/bin/java: install Java 17 or set JAVA_HOME.\n"


def test_a_failed_preparation_stops_the_server() -> None:
    done = bash("beside_server false; exec sleep 600")

    assert done.returncode == -15


def test_a_finished_preparation_leaves_the_server_alone() -> None:
    done = bash("beside_server echo prepared; exec sleep 1")

    assert (done.returncode, done.stdout) == (0, "prepared\n")
