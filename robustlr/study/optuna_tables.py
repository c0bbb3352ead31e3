"""Optuna's tables in a PostgreSQL database, made by Optuna itself."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from robustlr.errors import StorageError, one_line
from robustlr.study import statements as sql

if TYPE_CHECKING:
    from psycopg import Connection

    from robustlr.study.database import Database


def study_id(database: Database, name: str, *, create: bool) -> int:
    """The number of the study `name`, which is made where it is not there, if `create`.

    Raises StorageError where it is not to be made, or is somebody's own Optuna study.
    """
    found = database.run(lambda connection, _: _find(database, connection, name))
    if found is not None:
        return found
    if not create:
        raise StorageError(
            f"storage {database.shown}: has no study '{name}'; `robustlr study run` or `worker` "
            "begins it, or name another database"
        )
    import_optuna()  # before others wait for our lock
    return database.run(lambda connection, _: _make(database, connection, name))


def import_optuna() -> None:
    """Import what making tables needs, which takes seconds: as much as a database in memory."""
    import optuna

    with suppress(ImportError):  # a Python without SQLite needs it here alone
        optuna.storages.RDBStorage("sqlite://").engine.dispose()


def _find(database: Database, connection: Connection[Any], name: str) -> int | None:
    if connection.execute("SELECT to_regclass('trials')").fetchone() == (None,):
        return None
    found = connection.execute(sql.STUDY, (name,)).fetchone()
    if found is None:
        return None
    if connection.execute(sql.IS_FOREIGN, {"study": found[0]}).fetchone() == (True,):
        raise StorageError(
            f"storage {database.shown}: holds another study of the name '{name}', whose trials are "
            "no cells; give this study another name, or name another database"
        )
    return int(found[0])


def _make(database: Database, connection: Connection[Any], name: str) -> int:
    """Two that make Optuna's tables at once would stumble over each other."""
    from psycopg.errors import InsufficientPrivilege

    connection.execute("SELECT pg_advisory_xact_lock(hashtext('robustlr'))")
    found = _find(database, connection, name)
    if found is None:  # nobody has made it while we waited for the lock
        _create_study(database, name)
        # the tables may be another's
        with suppress(InsufficientPrivilege), connection.transaction():
            connection.execute(sql.INDEX)
        found = _find(database, connection, name)
    assert found is not None
    return found


def _create_study(database: Database, name: str) -> None:
    """Make the study `name`, and the tables where there are none.

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
        raise StorageError(f"storage {database.shown}: {_advice(cause)}") from None
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
