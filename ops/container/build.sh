#!/usr/bin/env bash
# The steps that all images share. A Dockerfile says which and when: build.sh STEP [ARGUMENT ...]
set -euo pipefail

JAVA=openjdk-17-jre-headless

install_packages() { # apt packages
    mkdir -p /usr/share/man/man1 # slim images lack it, and the JRE's scripts need it
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends ca-certificates python3.11 "$@"
    rm -rf /var/lib/apt/lists/*
}

# What the stages that download need.
step_tools() {
    install_packages maven "$JAVA"
}

# Split the build context: /manifests is what the Python environments depend on, so that a change of code leaves
# them alone, and /app is what every image holds besides its component.
step_source() {
    find . \( -name pyproject.toml -o -name uv.lock -o -name bootstrap.py \) -exec install -D {} /manifests/{} \;
    mkdir /app
    cp -r .env.example common ops schemas /app
}

# Install the packages of the workspace that are named, and ops, into /opt/environment. Its Python finds the source of
# each component that is in the image.
step_python() { # packages
    build_environment . "$@" ops
    local manifest
    for manifest in */pyproject.toml; do echo "/app/${manifest%/*}/src"; done \
        > /opt/environment/lib/python3.11/site-packages/components.pth
}

# Install a list of pinned requirements into /opt/environment.
step_requirements() { # file
    build_environment "$1"
}

build_environment() {
    python3.11 -I "$(find . -name bootstrap.py)" "$1" /tmp/cache /opt/environment "${@:2}"
}

# What a finished image needs of the system: Python, Java where `java` is named, or a package, the user, and the folders of
# volumes. Nothing that a package brings is started: the base image has a policy for that.
step_runtime() { # [java|package]
    install_packages ${1:+"${1/#java/$JAVA}"}
    useradd --uid 10001 --no-create-home market
    install -d -o market -g market /market /secrets
}

"step_$1" "${@:2}"
