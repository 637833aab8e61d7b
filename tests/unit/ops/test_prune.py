import subprocess
import sys
from pathlib import Path

from common.settings import ROOT
from ops.install.dependencies import jar_folders, joint_folder, superset_environment
from ops.install.prune import note, prune


def install(cache: Path, *names: str) -> None:
    for name in names:
        (cache / name / "bin").mkdir(parents=True)
        (cache / name / "bin" / "python").write_bytes(b"x" * 2**20)
        (cache / f"{name}.lock").touch()


def there(cache: Path) -> set[str]:
    return {
        str(path.relative_to(cache))
        for pattern in ("*", "jars/*", "bin/*")
        for path in cache.glob(pattern)
        if path.name not in ("jars", "bin", "clones")
    }


def test_only_what_no_clone_uses_is_removed(tmp_path: Path) -> None:
    cache, other = tmp_path / "cache", tmp_path / "other"
    own = [superset_environment(cache), joint_folder(cache), *jar_folders(cache).values()]
    used = [str(path.relative_to(cache)) for path in own]
    install(
        cache, *used, "env-0123456789abcdef", "env-fedcba9876543210", "jars/kafka-old", "superset-env-old"
    )
    (cache / "env-0123456789abcdef.txt").touch()
    (cache / "bin").mkdir()
    (cache / "bin" / "uv-0.0.1").touch()
    (cache / "locks").mkdir()
    other.mkdir()
    (other / "market").touch()
    (cache / "clones").mkdir()
    (cache / "clones" / "other").write_text(f"{other}\nenv-fedcba9876543210")
    (cache / "clones" / "gone").write_text(f"{tmp_path}/gone\nenv-0123456789abcdef")
    note(cache)
    lines: list[str] = []
    prune(cache, lines.append)
    kept = {*used, "env-fedcba9876543210"}
    assert there(cache) == {*kept, *(f"{name}.lock" for name in kept), "locks"}
    assert lines[-1] == f"3 MB were freed in {cache}."
    assert {path.read_text().split()[0] for path in (cache / "clones").iterdir()} == {str(other), str(ROOT)}


def test_a_cache_that_cannot_be_written_to_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "clones").touch()  # a file where a folder should be
    note(tmp_path)
    assert (tmp_path / "clones").is_file()


def test_what_a_process_runs_from_stays(tmp_path: Path) -> None:
    install(tmp_path, "env-0123456789abcdef")
    python = tmp_path / "env-0123456789abcdef" / "bin" / "python"
    python.unlink()
    python.symlink_to(sys.executable)
    with subprocess.Popen([python, "-c", "input()"], stdin=subprocess.PIPE) as process:
        prune(tmp_path, lambda _: None)
        assert there(tmp_path) == {"env-0123456789abcdef", "env-0123456789abcdef.lock"}
        process.kill()
    prune(tmp_path, lambda _: None)
    assert there(tmp_path) == set()
