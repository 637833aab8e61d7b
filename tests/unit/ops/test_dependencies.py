import stat
from pathlib import Path

import pytest

from ops.install.dependencies import find_java, java_version, parse_java_version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('IMPLEMENTOR="Debian"\nJAVA_RUNTIME_VERSION="17.0.15+6"\nJAVA_VERSION="17.0.15"\n', 17),
        ('JAVA_VERSION="1.8.0_392"\n', 8),
        ('JAVA_VERSION="25"\n', 25),
        ('openjdk version "17.0.9" 2023-10-17\nOpenJDK Runtime Environment\n', 17),
        ('java version "1.8.0_391"\n', 8),
        ('openjdk version "21-ea" 2023-09-19\n', 21),
        ("no java here\n", None),
    ],
)
def test_java_version_is_read_from_release_files_and_from_what_java_says(
    text: str, version: int | None
) -> None:
    assert parse_java_version(text) == version


def make_java(home: Path, version: str, release: bool = True) -> Path:
    binary = home / "bin" / "java"
    binary.parent.mkdir(parents=True)
    binary.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    if release:
        (home / "release").write_text(f'JAVA_VERSION="{version}"\n')
    return home


def test_a_java_without_release_file_is_asked(tmp_path: Path) -> None:
    assert java_version(make_java(tmp_path / "a", "17.0.1", release=False)) == 17
    assert java_version(tmp_path / "missing") is None


def test_the_needed_java_is_found_behind_wrong_ones(tmp_path: Path) -> None:
    wrong = make_java(tmp_path / "wrong", "25.0.1")
    on_path = make_java(tmp_path / "path", "11.0.2")
    right = make_java(tmp_path / "jvm" / "java-17-openjdk-amd64", "17.0.15")
    environ = {"JAVA_HOME": str(wrong), "PATH": str(on_path / "bin")}
    assert find_java(environ, tmp_path / "jvm") == right
    assert find_java(environ, tmp_path / "none") is None


def test_java_home_wins_where_it_fits(tmp_path: Path) -> None:
    mine = make_java(tmp_path / "mine", "17.0.2")
    make_java(tmp_path / "jvm" / "java-17", "17.0.15")
    assert find_java({"JAVA_HOME": str(mine), "PATH": ""}, tmp_path / "jvm") == mine
