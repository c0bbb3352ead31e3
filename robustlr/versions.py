"""Versions of the libraries that decide a result, read without importing them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_versions(*packages: str) -> dict[str, str]:
    """Name and version of those that are installed.

    >>> list(installed_versions("torch", "no-such-package"))
    ['torch']
    """
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
