"""How the loop makes the curvature estimate that a schedule asks for.

An estimate is made on the leading examples of each rank's first micro-batch, at the weights that
the update is about to change, with probes of the rank's own. What the schedule sees is the mean
over the ranks: one reduction, hence the same number everywhere. Training does not notice: with
the result unused, a run is the same to the bit.
"""

from __future__ import annotations

from accelerate import Accelerator
from torch import Tensor, nn

from robustlr.curvature import (
    CurvatureEstimate,
    leading_examples,
    make_estimator,
    probe_generator,
)
from robustlr.schedules import CurvatureRequest
from robustlr.specs import Cell
from robustlr.training.recorder import Costs
from robustlr.workloads import Batch, Workload


class CurvatureProbe:
    """The estimates of one run. `model` is the bare one: DDP's wrapper has no second derivative."""

    def __init__(
        self,
        request: CurvatureRequest,
        seed: int,
        workload: Workload,
        model: nn.Module,
        accelerator: Accelerator,
    ) -> None:
        self._request, self._seed = request, seed
        self._workload, self._model, self._accelerator = workload, model, accelerator
        self._estimator = make_estimator(request.estimator, probes=request.probes)

    @classmethod
    def requested_by(
        cls, cell: Cell, workload: Workload, model: nn.Module, accelerator: Accelerator
    ) -> CurvatureProbe | None:
        """The probe that the cell's schedule asks for, or None."""
        request = cell.schedule.curvature_request
        if request is None:
            return None
        return cls(request, cell.seed, workload, model, accelerator)

    def estimate(self, step: int, batch: Batch, costs: Costs) -> CurvatureEstimate:
        """The estimate for the update at `step`, after its backward and before clipping.

        batch: this rank's first micro-batch. costs: where the passes of all ranks are added.
        """
        accelerator = self._accelerator
        estimate = self._estimator.estimate(
            self._model,
            leading_examples(batch, self._request.batch_fraction),
            probe_generator(self._seed, step, accelerator.process_index, accelerator.device),
            loss_fn=self._workload.loss,
            sample_loss_fn=self._workload.sampled_loss,
            reduce=self._mean_over_ranks,
            loss_scale=accelerator.scaler.get_scale() if accelerator.scaler else 1.0,
            diagonal=self._request.extremes,
        )
        costs.curvature_passes += estimate.cost * accelerator.num_processes
        return estimate

    def _mean_over_ranks(self, tensor: Tensor) -> Tensor:
        return self._accelerator.reduce(tensor, reduction="mean")  # type: ignore[no-any-return]
