"""Install uv and the locked Python environment: bootstrap.py SOURCE CACHE ENVIRONMENT [PACKAGE ...].

SOURCE is the root of the workspace, or a list of pinned requirements. Of a workspace these packages are
installed, or else all of them with the tools of its developers.

Runs on a bare Python 3.11 without pip or venv, so it needs nothing but the standard library.
"""

import base64
import fcntl
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

UV_VERSION = "0.13.9"
WHEELS = {
    "x86_64": (
        f"uv-{UV_VERSION}-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
    ),
    "aarch64": (
        f"uv-{UV_VERSION}-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
    ),
}
DEFAULT_INDEX = "https://pypi.org/simple"
NEEDED_BYTES = 3 * 1024**3
# The longest silence of a server that downloads from; not the time of a whole download.
TIMEOUT_SECONDS = 120
# The longest time of one step of an installation: 2 GB over a slow line.
INSTALL_SECONDS = 1800
LOCK_POLL_SECONDS = 0.25


class BootstrapError(Exception):
    """Say in one sentence what kept the environment from being built."""


def report(line: str) -> None:
    """Print how far the installation is."""
    print(line, file=sys.stderr, flush=True)


def index_url(environ: Mapping[str, str]) -> str:
    """Return the package index that the environment names, or PyPI."""
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        value = environ.get(name, "").strip()
        if value:
            return re.sub(r"^[\w.-]+=(?=https?://)", "", value).rstrip("/")
    return DEFAULT_INDEX


def without_login(url: str) -> tuple[str, dict[str, str]]:
    """Split the login off a URL; return the bare URL and the headers that carry it."""
    parts = urllib.parse.urlsplit(url)
    if parts.username is None:
        return url, {}
    login = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    bare = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return bare, {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}


def find_link(page: str, page_url: str, file_name: str) -> str | None:
    """Return the URL of a file on a page of a simple index, without its fragment."""
    hrefs: list[str] = re.findall(r"""href\s*=\s*["']([^"']+)["']""", page)
    for href in hrefs:
        url = urllib.parse.urldefrag(urllib.parse.urljoin(page_url, href.replace("&amp;", "&"))).url
        if urllib.parse.unquote(urllib.parse.urlsplit(url).path).rpartition("/")[2] == file_name:
            return url
    return None


def download(url: str, headers: Mapping[str, str]) -> tuple[bytes, str]:
    """Return what a URL holds and where it was found after redirects."""
    request = urllib.request.Request(url, headers={"Accept": "text/html, */*;q=0.1", **headers})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            return bytes(answer.read()), str(answer.geturl())
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise BootstrapError(
            f"{url} could not be downloaded ({reason}); check the network, "
            "HTTPS_PROXY, SSL_CERT_FILE and UV_DEFAULT_INDEX."
        ) from None


def ensure_uv(cache: Path, environ: Mapping[str, str]) -> Path:
    """Return the pinned uv, fetched from the package index and checked against its hash when missing."""
    binary = cache / "bin" / f"uv-{UV_VERSION}"
    if binary.exists():
        return binary
    if platform.system() != "Linux" or platform.machine() not in WHEELS:
        raise BootstrapError(
            "Only Linux on x86_64 and aarch64 is supported, and this was "
            f"{platform.system()} on {platform.machine()}."
        )
    file_name, sha256 = WHEELS[platform.machine()]
    index, headers = without_login(index_url(environ))
    page, page_url = download(f"{index}/uv/", headers)
    link = find_link(page.decode(errors="replace"), page_url, file_name)
    if link is None:
        raise BootstrapError(f"The package index {index} did not list {file_name}.")
    same_host = urllib.parse.urlsplit(link).netloc == urllib.parse.urlsplit(index).netloc
    wheel, _ = download(link, headers if same_host else {})
    if hashlib.sha256(wheel).hexdigest() != sha256:
        raise BootstrapError(f"{link} was not the pinned file: its SHA-256 was not {sha256}.")
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        content = archive.read(next(name for name in archive.namelist() if name.endswith("/scripts/uv")))
    binary.parent.mkdir(parents=True, exist_ok=True)
    temporary = binary.with_name(f"{binary.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.chmod(0o755)
    temporary.replace(binary)
    return binary


def uv_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment uv runs in: the system's certificates, the index, and no Python of its own."""
    index = index_url(environ)
    return {
        "UV_HTTP_TIMEOUT": str(TIMEOUT_SECONDS),
        **{name: value for name, value in environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")},
        **({} if index == DEFAULT_INDEX else {"UV_DEFAULT_INDEX": index}),
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_SYSTEM_CERTS": "true",
    }


def run_uv(uv: Path, *arguments: str) -> None:
    """Run uv; raise BootstrapError with the end of its output when it fails."""
    try:
        result = subprocess.run(
            [uv, "-q", *arguments],
            env=uv_environment(os.environ),
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BootstrapError(
            f"uv took more than {INSTALL_SECONDS} s to build the Python environment: "
            "check the network and its proxy."
        ) from None
    if result.returncode != 0:
        output = " ".join(result.stderr.split())[-800:]
        raise BootstrapError(f"uv could not build the Python environment: {output}")


@contextmanager
def building(target: Path) -> Iterator[bool]:
    """Keep two runs from building one folder at once; yield whether it still has to be built."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        waiting = f"Waiting for another run that installs {target} ..."
        if not take_lock(lock.fileno(), INSTALL_SECONDS, waiting, report):
            raise BootstrapError(
                f"Another run installed {target} for more than {INSTALL_SECONDS} s: end it and try again."
            )
        yield not is_complete(target)


def take_lock(lock: int, seconds: float, waiting: str, report: Callable[[str], None]) -> bool:
    """Lock an open file; return False when another process kept it for so long.

    `report` gets the line `waiting` once, where there is something to wait for.
    """
    deadline = time.monotonic() + seconds
    reported = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
        if not reported:
            report(waiting)
            reported = True
        time.sleep(LOCK_POLL_SECONDS)


def is_complete(target: Path) -> bool:
    """Return whether an environment was built to its end and its Python is still there."""
    return (target / ".complete").exists() and os.access(target / "bin" / "python", os.X_OK)


def check_space(folder: Path) -> None:
    """Raise BootstrapError when the disk of the cache is too full for an installation."""
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise BootstrapError(
            f"{folder} had {free / 1024**3:.1f} GB of free disk space, and {NEEDED_BYTES / 1024**3:.0f} GB "
            "were needed: free some, or name another folder in MARKET_CACHE."
        )


def install(uv: Path, environment: Path, requirements: Path) -> None:
    """Make an environment that holds exactly what a list of pinned versions and hashes names."""
    run_uv(uv, "venv", "--clear", "--python", sys.executable, str(environment))
    run_uv(
        uv,
        "pip",
        "sync",
        "--require-hashes",
        "--compile-bytecode",
        "--python",
        str(environment),
        str(requirements),
    )
    (environment / ".complete").touch()


def export(uv: Path, root: Path, target: Path, packages: Sequence[str]) -> Path:
    """Write what uv.lock names for some packages, or for all, as a list of pinned versions and hashes.

    The lock holds PyPI's own addresses; such a list installs from any index.
    """
    named = [part for package in packages for part in ("--package", package)]
    selection = ("--no-dev", *named) if packages else ("--all-packages", "--all-groups")
    output = ("--frozen", "--no-emit-workspace", "--project", str(root), "--output-file", str(target))
    run_uv(uv, "export", *selection, *output)
    return target


def build_environment(source: Path, cache: Path, environment: Path, packages: Sequence[str]) -> None:
    """Install a list of requirements, or what uv.lock names for some packages or all."""
    with building(environment) as missing:
        if not missing:
            return
        check_space(cache)
        started = time.monotonic()
        report("Installing the Python environment (first start only) ...")
        uv = ensure_uv(cache, os.environ)
        if source.is_file():
            install(uv, environment, source)
        else:
            install(uv, environment, export(uv, source, cache / f"{environment.name}.txt", packages))
        report(f"Installed the Python environment in {time.monotonic() - started:.0f} s.")


def main() -> int:
    """Build the environment named on the command line."""
    source, cache, environment = (Path(argument) for argument in sys.argv[1:4])
    try:
        cache.mkdir(parents=True, exist_ok=True)
        build_environment(source, cache, environment, sys.argv[4:])
    except (BootstrapError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("The installation was interrupted; run this again to go on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
