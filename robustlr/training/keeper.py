"""When a run is checkpointed, and what for: every K updates, and when it is told to stop.

Under DDP every rank keeps its own random state; the rest is equal, and rank 0 writes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator

import robustlr
from robustlr.errors import CellStoppedError, DataError, StorageError
from robustlr.specs import Cell
from robustlr.training import random_state
from robustlr.training.checkpoint import read_checkpoint, write_checkpoint
from robustlr.training.packing import Packer, UnpackableError, Unpacker
from robustlr.workloads import Workload, code_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """Where a run keeps its checkpoint.

    path: the file. every: updates between checkpoints; 0: only when told to stop.
    stop: asked in every update; once it says yes, the run is checkpointed and CellStoppedError
    raised. note: is told what a person may want to know.
    """

    path: Path
    every: int = 0
    stop: Callable[[], bool] = lambda: False
    note: Callable[[str], None] = print


class Checkpointed(Protocol):
    """A run that can be put aside between two updates."""

    step: int

    def snapshot(self) -> dict[str, Any]:
        """Everything that decides the rest of the run, ranks' random states apart."""
        ...

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Raises ValueError, and changes nothing, where it is that of another model."""
        ...

    def weights(self) -> list[torch.Tensor]:
        """The weights, in an order of their own."""
        ...


class Keeper:
    """The checkpoints of one run. where: None for a run that keeps none."""

    def __init__(
        self,
        where: Checkpoints | None,
        cell: Cell,
        workload: Workload,
        accelerator: Accelerator,
    ) -> None:
        self._where, self._cell, self._accelerator = where, cell, accelerator
        self._identity = {
            "cell": cell.key,
            "code": "" if where is None else code_hash(workload),
            "robustlr": robustlr.__version__,
            "torch": torch.__version__,
            "ranks": str(accelerator.num_processes),
            "device": accelerator.device.type,
        }
        self._last, self._broken = 0, False

    def asked_to_stop(self) -> bool:
        """Whether this rank was."""
        return self._where is not None and self._where.stop()

    def resume(self, run: Checkpointed) -> bool:
        """Put `run` where its checkpoint left it; False where there is none that it can use."""
        where = self._where
        if where is None or not self._agreed(where.path.exists()):
            return False
        said, device = "", self._accelerator.device
        try:
            values, tensors = read_checkpoint(where.path, self._identity)
            run.restore(Unpacker(tensors, device, run.weights()).unpack(values))
        except DataError as error:
            said = str(error)
        except ValueError as error:
            said = f"{where.path}: {error}"
        if not self._agreed(not said):
            self.note(f"{said}; the cell starts anew")
            return False
        random_state.restore(tensors["random"][self._accelerator.process_index], device)
        self._last = run.step
        self.note(f"cell {self._cell.key}: goes on from update {run.step}")
        return True

    def after_update(self, run: Checkpointed, *, stop: bool) -> None:
        """Write a checkpoint where one is due. stop: what the ranks agreed on.

        Raises CellStoppedError, after writing, where they did.
        """
        where = self._where
        if where is None:
            return
        due = where.every > 0 and run.step % where.every == 0 and run.step > self._last
        if due or stop:
            self._write(where, run)
        if stop:
            raise CellStoppedError(f"cell {self._cell.key}: stopped after update {run.step}")

    def _write(self, where: Checkpoints, run: Checkpointed) -> None:
        accelerator = self._accelerator
        self._last = run.step
        mine = random_state.capture(accelerator.device).to(accelerator.device)
        random = accelerator.gather(mine).reshape(accelerator.num_processes, -1).cpu()
        if not accelerator.is_main_process or self._broken:
            return
        try:
            packer = Packer(run.weights())
            values = packer.pack(run.snapshot())
            write_checkpoint(
                where.path, self._identity, values, {**packer.tensors, "random": random}
            )
        except UnpackableError as error:
            self._broken = True
            self.note(f"cell {self._cell.key}: cannot be checkpointed: {error}")
        except StorageError as error:
            self.note(f"cell {self._cell.key}: no checkpoint: {error}")

    def _agreed(self, mine: bool) -> bool:
        """Whether every rank says so."""
        if self._accelerator.num_processes == 1:
            return mine
        said = torch.tensor(float(mine), device=self._accelerator.device)
        return float(self._accelerator.reduce(said, reduction="mean")) == 1.0

    def note(self, text: str) -> None:
        """Tell whoever reads the notes of this run, once for all ranks."""
        if self._where is not None and self._accelerator.is_main_process:
            self._where.note(text)
