"""Optuna's tables in a PostgreSQL database, made by Optuna itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robustlr.errors import StorageError, one_line

if TYPE_CHECKING:
    from psycopg import Connection

    from robustlr.study.database import Database


def import_optuna() -> None:
    """Import what `create_study` needs, which takes seconds: as much as a database in memory."""
    import optuna

    optuna.storages.RDBStorage("sqlite://").engine.dispose()


def create_study(database: Database, shown: str, name: str) -> None:
    """Make the study `name`, and the tables where there are none. shown: the database's address.

    Raises StorageError where the role may not, or where the tables are of another Optuna or none
    of its own, and psycopg's errors where the server is away.
    """
    import optuna
    import psycopg
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    connections: list[Connection[Any]] = []

    def connect() -> Connection[Any]:  # so that one place alone reads addresses
        connections.append(database.connect())
        return connections[-1]

    try:
        storage = optuna.storages.RDBStorage(
            "postgresql+psycopg://", engine_kwargs={"creator": connect}
        )
        optuna.create_study(
            storage=storage, study_name=name, direction="minimize", load_if_exists=True
        )
        storage.engine.dispose()
    except (SQLAlchemyError, OptunaError, RuntimeError, AssertionError) as error:
        cause = _cause(error)
        if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
            raise cause from None
        raise StorageError(f"storage {shown}: {_advice(cause)}") from None
    finally:
        for connection in connections:  # Optuna leaves them where it fails
            connection.close()


def _cause(error: BaseException) -> BaseException:
    """psycopg's own error, where there is one behind those of SQLAlchemy and Optuna."""
    found: BaseException | None = error
    while found is not None:
        if (original := getattr(found, "orig", None)) is not None:
            return original  # type: ignore[no-any-return]
        found = found.__cause__ or found.__context__
    return error


def _advice(error: BaseException) -> str:
    from psycopg.errors import InsufficientPrivilege

    said = one_line(str(error).partition("\n")[0]) or type(error).__name__
    if isinstance(error, InsufficientPrivilege):
        return (
            f"Optuna's tables cannot be made: {said}; let the owner of the database say `GRANT "
            "USAGE, CREATE ON SCHEMA public TO` this role (and ALL ON ALL TABLES IN SCHEMA public, "
            "ON ALL SEQUENCES IN SCHEMA public, where another role has made them), or name a "
            "database of your own"
        )
    return (
        f"its tables are not those of this Optuna: {said}; name another database, an empty one, "
        "or use the Optuna that made them"
    )
