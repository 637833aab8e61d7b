"""Print the settings with which Maven goes through the proxies of the environment.

They belong into a file of the owner only: a password among Maven's options stands in the list of processes.
Needs nothing but the standard library: an image fetches its jars before anything of the project is there.
"""

import os
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element, SubElement, tostring  # which here only writes


def proxies(environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the elements of each proxy, those of its login where the address holds one."""
    exempt = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in exempt.split(",") if host.strip()]
    for scheme in ("https", "http"):
        address = environ.get(f"{scheme}_proxy") or environ.get(f"{scheme.upper()}_PROXY")
        if not address:
            continue
        parts = urlsplit(address if "://" in address else f"http://{address}")
        elements = {
            "id": scheme,
            "active": "true",
            "protocol": scheme,
            "host": parts.hostname or "",
            "port": str(parts.port or 80),
            "username": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "nonProxyHosts": "|".join(f"*{host}" if host.startswith(".") else host for host in hosts),
        }
        yield {name: value for name, value in elements.items() if value}


def settings(environ: Mapping[str, str]) -> str:
    """Return the text of a `settings.xml`."""
    root = Element("settings")
    parent = SubElement(root, "proxies")
    for elements in proxies(environ):
        proxy = SubElement(parent, "proxy")
        for name, value in elements.items():
            SubElement(proxy, name).text = value
    return tostring(root, encoding="unicode")


if __name__ == "__main__":
    print(settings(os.environ))
