"""Install Java, Maven, the servers' jars and Superset's environment; all but Java go to the shared cache."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from common.settings import ROOT
from ops.errors import MarketError
from ops.inspection.logs import tail
from ops.install.bootstrap import INSTALL_SECONDS, building, check_space, ensure_uv, install, is_complete
from ops.report import Report

JAVA_VERSION = 17
JVM_FOLDER = Path("/usr/lib/jvm")
CHROMIUM = Path("/usr/bin/chromium")
SUPERSET_REQUIREMENTS = ROOT / "superset" / "requirements.lock.txt"
# `java -version` takes a quarter of a second; one that hangs is no Java to use.
JAVA_SECONDS = 30


class Installed(NamedTuple):
    """Where the things that services need were installed."""

    java_home: Path
    jars: Path
    superset: Path


def parse_java_version(text: str) -> int | None:
    """Return the major version in a `release` file or in the output of `java -version`."""
    match = re.search(r'(?:JAVA_VERSION=|version )"(?:1\.)?(\d+)', text)
    return int(match[1]) if match else None


def java_version(home: Path) -> int | None:
    """Return the major version of the Java in a folder, or None where there is none that runs."""
    binary = home / "bin" / "java"
    if not os.access(binary, os.X_OK):
        return None
    try:
        return parse_java_version((home / "release").read_text())
    except OSError:
        pass
    try:
        result = subprocess.run(
            [binary, "-version"], capture_output=True, text=True, timeout=JAVA_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_java_version(result.stderr)


def java_homes(environ: Mapping[str, str], folder: Path = JVM_FOLDER) -> Iterator[Path]:
    """Yield where a Java may be: `JAVA_HOME`, the one on the path, and those the system installed."""
    if environ.get("JAVA_HOME"):
        yield Path(environ["JAVA_HOME"])
    on_path = shutil.which("java", path=environ.get("PATH"))
    if on_path:
        yield Path(on_path).resolve().parent.parent
    yield from sorted(folder.glob(f"*{JAVA_VERSION}*"))


def find_java(environ: Mapping[str, str], folder: Path = JVM_FOLDER) -> Path | None:
    """Return the home of a Java of the needed version, or None."""
    return next((home for home in java_homes(environ, folder) if java_version(home) == JAVA_VERSION), None)


def describe_java(environ: Mapping[str, str]) -> str:
    """Describe which Java was found instead of the needed one."""
    versions = sorted(
        {version for home in java_homes(environ) if (version := java_version(home)) is not None}
    )
    return f"only Java {', '.join(map(str, versions))} was found" if versions else "no Java was found"


def can_apt() -> bool:
    """Return whether this process may install Debian packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(*packages: str) -> None:
    """Install Debian packages; raise MarketError with the end of apt's output when that fails."""
    Path("/usr/share/man/man1").mkdir(
        parents=True, exist_ok=True
    )  # slim images lack it, and the JRE's scripts need it
    apt = ("apt-get", "-qq", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=300")
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (("update",), ("install", "-y", "--no-install-recommends", *packages)):
        try:
            result = subprocess.run(
                [*apt, *arguments],
                env=environ,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise MarketError(
                f"apt-get took more than {INSTALL_SECONDS} s to install {' and '.join(packages)}: "
                "check the network and its proxy."
            ) from None
        if result.returncode != 0:
            output = " ".join(result.stderr.split())[-500:]
            raise MarketError(f"apt-get could not install {' and '.join(packages)}: {output}")


def ensure_java(report: Report) -> Path:
    """Return the home of Java 17, installed where that is possible."""
    home = find_java(os.environ)
    if home is None and can_apt():
        report(f"Installing Java {JAVA_VERSION} ...")
        apt_install(f"openjdk-{JAVA_VERSION}-jre-headless")
        home = find_java(os.environ)
    if home is None:
        raise MarketError(
            f"Java {JAVA_VERSION} was needed and {describe_java(os.environ)}: install a JRE or JDK "
            f"{JAVA_VERSION} and point JAVA_HOME at it."
        )
    return home


def ensure_maven(report: Report) -> Path:
    """Return Maven's command, installed where that is possible."""
    if shutil.which("mvn") is None and can_apt():
        report("Installing Maven ...")
        apt_install("maven")
    command = shutil.which("mvn")
    if command is None:
        raise MarketError(
            "Maven was needed to fetch the servers and was not found: install Maven 3.8 or newer."
        )
    return Path(command)


def ensure_chromium(report: Report) -> None:
    """Install the browser of the tests of the pages, or say what to install."""
    if CHROMIUM.exists():
        return
    if not can_apt():
        raise MarketError(f"The tests of the pages needed {CHROMIUM}: install Debian's package chromium.")
    report("Installing Chromium ...")
    apt_install("chromium")


def digest(*paths: Path) -> str:
    """Name the content of some files."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def jar_folders(cache: Path) -> dict[str, Path]:
    """Return where the jars of each component that has a pom.xml are kept, named by what pins them."""
    return {
        pom.parent.name: cache / "jars" / f"{pom.parent.name}-{digest(pom, pom.with_name('jars.sha256'))}"
        for pom in sorted(ROOT.glob("*/pom.xml"))
    }


def joint_folder(cache: Path) -> Path:
    """Return the folder that holds the jar folders of all components under their names."""
    names = " ".join(f"{name}={folder.name}" for name, folder in jar_folders(cache).items())
    return cache / "jars" / f"all-{hashlib.sha256(names.encode()).hexdigest()[:16]}"


def fetch_jars(component: str, folder: Path, java_home: Path, maven: Path) -> None:
    """Fill a component's jar folder in one step."""
    temporary = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    environ = {
        **os.environ,
        "JAVA_HOME": str(java_home),
        "MVN": str(maven),
        "PYTHON": sys.executable,
    }
    log = folder.with_suffix(".log")
    with log.open("w") as output:
        try:
            status = subprocess.run(
                [ROOT / "common" / "fetch-jars.sh", component, temporary],
                env=environ,
                stdout=output,
                stderr=output,
                timeout=INSTALL_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise MarketError(
                f"Fetching the jars of {component} took more than {INSTALL_SECONDS} s (see {log}): "
                "check the network and its proxy."
            ) from None
    if status != 0:
        lines = tail(log, 1) or [f"The jars of {component} could not be fetched (see above)."]
        raise MarketError(lines[0].replace("see above", f"see {log}"))
    log.unlink()
    temporary.replace(folder)


def ensure_jars(cache: Path, java_home: Path, report: Report) -> Path:
    """Return the joint folder of all jars, with what is missing fetched."""
    folders, joint = jar_folders(cache), joint_folder(cache)
    if joint.exists() and all(folder.exists() for folder in folders.values()):
        return joint
    with building(joint):
        for name, folder in folders.items():
            if not folder.exists():
                report(f"Fetching the jars of {name} ...")
                fetch_jars(name, folder, java_home, ensure_maven(report))
        joint.mkdir(exist_ok=True)
        for name, folder in folders.items():
            link = joint / name
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(folder, joint))
    return joint


def superset_environment(cache: Path) -> Path:
    """Return where Superset's own environment is kept, named by what pins it."""
    return cache / f"superset-env-{digest(SUPERSET_REQUIREMENTS)}"


def ensure_superset(cache: Path, report: Report) -> Path:
    """Return Superset's own environment."""
    environment = superset_environment(cache)
    if not is_complete(environment):
        with building(environment) as missing:
            if missing:
                report("Installing Superset's environment ...")
                install(ensure_uv(cache, os.environ), environment, SUPERSET_REQUIREMENTS)
    return environment


def is_installed(cache: Path) -> bool:
    """Return whether nothing has to be downloaded."""
    return is_complete(superset_environment(cache)) and all(
        folder.exists() for folder in jar_folders(cache).values()
    )


def ensure_all(cache: Path, report: Report) -> Installed:
    """Install what is missing."""
    if not is_installed(cache):
        cache.mkdir(parents=True, exist_ok=True)
        check_space(cache)
    started = time.monotonic()
    with ThreadPoolExecutor(1) as beside:
        superset = beside.submit(ensure_superset, cache, report)
        java_home = ensure_java(report)
        installed = Installed(java_home, ensure_jars(cache, java_home, report), superset.result())
    if time.monotonic() - started > 1:
        report(f"Installed in {time.monotonic() - started:.0f} s.")
    return installed
