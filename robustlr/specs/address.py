"""Addresses that a study names, and how they may be shown: never with a password."""

from __future__ import annotations

import re

from robustlr.errors import SpecError

_SCHEME = re.compile(r"(postgres|postgresql|postgresql\+psycopg)://")
_PASSWORD = re.compile(r"(?<=://)(?P<user>[^:@/?]*):.*@")  # rather too much than too little
_SECRETS = ("password=", "sslpassword=", "passfile=")


def check_storage(url: str) -> None:
    """Raises SpecError unless `url` names a PostgreSQL database, or is empty.

    >>> check_storage("postgresql://me@db.example/studies")
    >>> check_storage("sqlite:///x.db")
    Traceback (most recent call last):
    robustlr.errors.SpecError: storage must be postgresql://user@host/database, got 'sqlite:///x.db'
    """
    if url and not _SCHEME.match(url):
        raise SpecError(
            f"storage must be postgresql://user@host/database, got '{without_password(url)}'"
        )


def check_results(url: str) -> None:
    """Raises SpecError unless `url` is an address with a protocol, or empty.

    >>> check_results("s3://bucket/study")
    >>> check_results("bucket/study")
    Traceback (most recent call last):
    robustlr.errors.SpecError: results must be an address as s3://bucket/study, got 'bucket/study'
    """
    if url and "://" not in url:
        raise SpecError(f"results must be an address as s3://bucket/study, got '{url}'")


def libpq_url(url: str) -> str:
    """The address as PostgreSQL's own library reads it, without a driver in its scheme.

    >>> libpq_url("postgresql+psycopg://me@db/studies")
    'postgresql://me@db/studies'
    """
    return _SCHEME.sub("postgresql://", url, count=1)


def without_password(url: str) -> str:
    """The same address without its password; PGPASSWORD and ~/.pgpass can stand in for it.

    >>> without_password("postgresql://me:se:c/r@t@db:5432/studies?sslmode=require")
    'postgresql://me@db:5432/studies?sslmode=require'
    >>> without_password("postgresql://db/studies?password=x")
    'postgresql://db/studies'
    """
    address, mark, query = _PASSWORD.sub(r"\g<user>@", url).partition("?")
    kept = [part for part in query.split("&") if not part.lower().startswith(_SECRETS)]
    return f"{address}?{'&'.join(kept)}" if mark and kept else address
