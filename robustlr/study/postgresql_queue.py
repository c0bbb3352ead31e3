"""The queue in PostgreSQL, for several machines.

The tables are Optuna's: its dashboard and its `load_study` read them as they are. Every change is
one transaction, and takes the same time however many cells wait: Optuna's own calls read all
waiting trials to find one, and add them one by one.

Nobody's clock is compared with another's: a sign of life is a counter that changes.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable, Container, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from robustlr.errors import StorageError
from robustlr.specs import Cell, StudySpec
from robustlr.study import statements as sql
from robustlr.study.database import Database
from robustlr.study.optuna_tables import study_id
from robustlr.study.queue import ATTEMPT, CELL, WORKER, CellQueue, Claim, IsDone, Sign, Tally, count

if TYPE_CHECKING:
    from psycopg import Connection

_ADD_SECONDS = 1800.0  # for whoever adds a great many cells
_WORKER_PREFIX = "worker "  # of study attributes that are signs of life


class PostgresqlQueue(CellQueue):
    """The trials of the study `name` in the database at `url`.

    first_patience, patience: seconds to wait for a database that is away, at the start and
    afterwards. create: make the study where it is not there, which is an error otherwise. stop:
    see `Database`.
    """

    one_machine = False

    def __init__(
        self,
        url: str,
        name: str,
        *,
        first_patience: float,
        patience: float,
        create: bool = True,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        if missing := _missing_packages():
            raise StorageError(
                f'a PostgreSQL storage needs {missing}: pip install "robustlr[postgresql]"'
            )
        self._database = Database(url, patience=first_patience, stop=stop)
        self._study = study_id(self._database, name, create=create)
        self._database.patience = patience

    def add(
        self, cells: Iterable[Cell], spec: StudySpec, *, is_done: IsDone = lambda cell: False
    ) -> None:
        wanted = {cell.key: cell for cell in cells}
        distributions = [
            _distribution(
                "FloatDistribution", step=None, low=min(spec.grid), high=max(spec.grid), log=True
            ),
            _distribution("CategoricalDistribution", choices=spec.schedule_labels),
            _distribution("IntDistribution", log=False, step=1, low=0, high=2**31 - 1),
        ]

        def insert(connection: Connection[Any], _: bool) -> None:
            connection.execute(sql.LET_IDLE)  # `is_done` may ask another storage
            connection.execute(sql.LOCK_STUDY, (self._study,))
            unfinished = self._keys(connection, "WAITING") | self._keys(connection, "RUNNING")
            rows = [
                {
                    "position": position,
                    "key": json.dumps(cell.key),
                    "setting": json.dumps(cell.setting),
                    "peak_lr": cell.peak_lr,
                    "schedule": spec.schedule_labels.index(cell.schedule.label),
                    "seed": cell.seed,
                }
                for position, cell in enumerate(wanted.values())
                if cell.key not in unfinished and not is_done(cell)
            ]
            if rows:
                connection.execute(
                    sql.ADD, {"study": self._study, "rows": json.dumps(rows), "of": distributions}
                )

        if wanted:
            self._database.run(insert, seconds=_ADD_SECONDS)

    def claim(self, worker: str) -> Claim | None:
        def take(connection: Connection[Any], again: bool) -> Claim | None:
            mine = self._running(connection, worker) if again else []
            if mine:
                return mine[0]
            found = connection.execute(
                sql.CLAIM, {"study": self._study, "worker": json.dumps(worker)}
            ).fetchone()
            return None if found is None else _claim(*found)

        return self._database.run(take)

    def holds(self, claim: Claim) -> bool:
        found = self._database.run(lambda c, _: c.execute(sql.STATE, asdict(claim)).fetchone())
        return found == ("RUNNING",)

    def complete(self, claim: Claim, value: float) -> bool:
        if math.isnan(value):
            raise StorageError(f"cell {claim.key}: its value is not a number")
        stored = None if math.isinf(value) else value
        kind = "FINITE" if stored is not None else "INF_POS" if value > 0 else "INF_NEG"
        told = {"trial": claim.trial, "value": stored, "kind": kind}

        def tell(connection: Connection[Any], again: bool) -> bool:
            if connection.execute(sql.COMPLETE, told).fetchone() is not None:
                return True
            if not again:
                return False
            # nobody else tells the trial as complete: a trial has one owner
            return connection.execute(sql.STATE, told).fetchone() == ("COMPLETE",)

        return self._database.run(tell)

    def fail(self, claim: Claim, reason: str) -> bool:
        return self.take_away(claim, reason, retry=False)

    def take_away(self, claim: Claim, reason: str, *, retry: bool, blame: bool = True) -> bool:
        mark = json.dumps(secrets.token_hex(8))  # others may end it for the same reason
        ended = {"trial": claim.trial, "reason": json.dumps(reason), "mark": mark}

        def end(connection: Connection[Any], tried: bool) -> bool:
            connection.execute(sql.LOCK_STUDY, (self._study,))
            trial = connection.execute(sql.FAIL, ended).fetchone()
            if trial is None:
                return tried and connection.execute(sql.IS_MARKED, ended).fetchone() == (True,)
            if retry:
                again = {
                    "study": self._study,
                    "old": trial[0],
                    "attempt": str(claim.attempt + blame),
                }
                connection.execute(sql.AGAIN, again)
            return True

        return self._database.run(end)

    def waiting(self) -> set[str]:
        return self._database.run(lambda c, _: self._keys(c, "WAITING"))

    def _keys(self, connection: Connection[Any], state: str) -> set[str]:
        rows = connection.execute(sql.KEYS, (self._study, state))
        return {json.loads(key) for (key,) in rows}

    def running(self) -> list[Claim]:
        return self._database.run(lambda c, _: self._running(c, None))

    def _running(self, connection: Connection[Any], worker: str | None) -> list[Claim]:
        claims = [_claim(*row) for row in connection.execute(sql.RUNNING, (self._study,))]
        return [claim for claim in claims if worker in (None, claim.worker)]

    def tally(self, keys: Container[str]) -> Tally:
        rows = self._database.run(lambda c, _: c.execute(sql.STATES, (self._study,)).fetchall())
        return count(((key[1:-1], state, value) for key, state, value in rows), keys)

    def beat(self, sign: Sign) -> None:
        note = {name: value for name, value in asdict(sign).items() if name != "seconds"}
        named = {"study": self._study, "key": _WORKER_PREFIX + sign.worker}
        self._database.run(
            lambda c, _: c.execute(sql.BEAT, {**named, "note": json.dumps(note)}) and None
        )

    def forget(self, worker: str) -> None:
        forgotten = (self._study, _WORKER_PREFIX + worker)
        self._database.run(lambda c, _: c.execute(sql.FORGET_WORKER, forgotten) and None)

    def signs(self) -> list[Sign]:
        return self._database.run(lambda c, _: self._signs(c))

    def _signs(self, connection: Connection[Any]) -> list[Sign]:
        rows = connection.execute(sql.SIGNS, (self._study, f"{_WORKER_PREFIX}%")).fetchall()
        return [
            Sign(
                **{name: value for name, value in json.loads(note).items() if name != "at"},
                seconds=max(seconds, 0.0),
            )
            for note, seconds in rows
        ]

    def agree(self, name: str, value: str) -> str:
        note = {"study": self._study, "key": name, "value": json.dumps(value)}

        def settle(connection: Connection[Any], _: bool) -> Any:
            connection.execute(sql.LOCK_STUDY, (self._study,))  # see forget_agreements
            connection.execute(sql.AGREE, note)
            return connection.execute(sql.AGREED, note).fetchone()

        return str(json.loads(self._database.run(settle)[0]))

    def forget_agreements(self, prefix: str, *, unless_alive: float | None = None) -> None:
        def forget(connection: Connection[Any], _: bool) -> None:
            connection.execute(sql.LOCK_STUDY, (self._study,))
            if unless_alive is not None and any(
                sign.seconds < unless_alive for sign in self._signs(connection)
            ):
                return
            connection.execute(sql.FORGET, (self._study, prefix))

        self._database.run(forget)


def _claim(trial: int, number: int, attributes: dict[str, str]) -> Claim:
    known = {name: json.loads(value) for name, value in attributes.items()}
    return Claim(trial, number, known[CELL], known.get(WORKER, ""), known.get(ATTEMPT, 1))


def _distribution(name: str, **attributes: object) -> str:
    return json.dumps({"name": name, "attributes": attributes})


def _missing_packages() -> str:
    """psycopg, where it cannot be imported."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg"
    return ""
