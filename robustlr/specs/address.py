"""Addresses that a study names, and how they may be shown: never with a password.

What does not have the form that is asked for is not shown at all: a password may be anywhere in it.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from robustlr.errors import SpecError

_SCHEME = r"(?:postgres|postgresql|postgresql\+psycopg)://"
_HOST = r"(?:[\w.%~-]*|\[[\da-fA-F:.]+\])(?::\d*)?"
_STORAGE = re.compile(
    _SCHEME
    + r"(?:[^:@/?#;,=\s]*(?::[^@/]*)?@)?"  # as libpq reads it: a password ends at the first @ or /
    + rf"{_HOST}(?:,{_HOST})*"
    + r"(?:/[^:@/?#;,=&\s]*)?"
    + r"(?:\?[^@;#\s]*)?"
)
_AUTHORITY = re.compile(r"://([^/]*)")
_NO_PASSWORD = re.compile(r"(?:[^:@]*@)?(?:[^:@]*|\[[\da-fA-F:.]+\])(?::\d*)?")
_SECRET = re.compile(r"[?&][^=&]*(?:pass|secret|token|key|sig)[^=&]*=", re.IGNORECASE)

_PASSWORD = re.compile(r"(?<=://)(?P<user>[^:@/?]*):.*@", re.DOTALL)  # rather too much
_PLAIN = re.compile(
    r"host|hostaddr|port|user|dbname|service|options|ssl(?!pass)\w*|gss\w*|krbsrvname|require\w*"
    r"|application_name|client_encoding|connect_timeout|tcp_user_timeout|keepalives\w*"
    r"|channel_binding|target_session_attrs|load_balance_hosts"
)
"""Settings of libpq that are no secret; a misspelt one is none of them."""


def check_storage(url: str) -> None:
    """Raises SpecError unless `url` names a PostgreSQL database, or is empty.

    >>> check_storage("postgresql://me@db.example/studies")
    >>> check_storage("sqlite:///x.db")
    Traceback (most recent call last):
    robustlr.errors.SpecError: storage must be postgresql://user@host/database; what is given \
is not, and is not shown, since it may hold a password; '%', '@', '/' or a space in a user or \
password is written '%25', '%40', '%2F', '%20'
    """
    if url and not _STORAGE.fullmatch(url):
        raise SpecError(
            "storage must be postgresql://user@host/database; what is given is not, and is not "
            "shown, since it may hold a password; '%', '@', '/' or a space in a user or password "
            "is written '%25', '%40', '%2F', '%20'"
        )


def check_results(url: str) -> None:
    """Raises SpecError unless `url` is an address with a protocol and no password, or empty.

    A password would have to be written down for the workers, which read the study's folder.

    >>> check_results("s3://bucket/study")
    >>> check_results("bucket/study")
    Traceback (most recent call last):
    robustlr.errors.SpecError: results must be an address as s3://bucket/study
    >>> check_results("ftp://me:secret@host/study")
    Traceback (most recent call last):
    robustlr.errors.SpecError: results must be an address without a password, which fsspec takes \
from the environment: FSSPEC_FTP_PASSWORD=..., say, or its own configuration file
    """
    if not url:
        return
    protocol, mark, _ = url.rpartition("://")
    if not mark:
        raise SpecError("results must be an address as s3://bucket/study")
    plain = all(map(_NO_PASSWORD.fullmatch, _AUTHORITY.findall(url)))
    if not plain or _SECRET.search(url) or _PASSWORD.search(url):
        name = re.split(r"\W", protocol)[-1].upper()
        raise SpecError(
            "results must be an address without a password, which fsspec takes from the "
            f"environment: FSSPEC_{name}_PASSWORD=..., say, or its own configuration file"
        )


def libpq_url(url: str) -> str:
    """The address as PostgreSQL's own library reads it, without a driver in its scheme.

    >>> libpq_url("postgresql+psycopg://me@db/studies")
    'postgresql://me@db/studies'
    """
    return re.sub(f"^{_SCHEME}", "postgresql://", url)


def without_password(url: str) -> str:
    """The same address without its password; PGPASSWORD and ~/.pgpass can stand in for it.

    Of its settings, those that are known to be no secret are kept.

    >>> without_password("postgresql://me:se:c/r@t@db:5432/studies?sslmode=require")
    'postgresql://me@db:5432/studies?sslmode=require'
    >>> without_password("postgresql://db/studies?%70assword=x&pasword=x")
    'postgresql://db/studies'
    """
    address, mark, query = _PASSWORD.sub(r"\g<user>@", url).partition("?")
    parts = query.split("&")
    kept = [part for part in parts if _PLAIN.fullmatch(unquote(part.partition("=")[0]))]
    return f"{address}?{'&'.join(kept)}" if mark and kept else address
