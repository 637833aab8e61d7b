"""Installs what the stack needs: Java, jars, Python environments, passwords and systemd units."""
