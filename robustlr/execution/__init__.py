"""Running the cells of a study on this machine or on a cluster."""

from robustlr.execution.cancel import Cancelled, cancel
from robustlr.execution.cluster import ClusterDrive, Jobs
from robustlr.execution.drive import Drive
from robustlr.execution.driving import Snapshot
from robustlr.execution.estimate import Estimate, estimate_seconds
from robustlr.execution.flops import training_flops
from robustlr.execution.slots import default_workers, visible_gpus

__all__ = [
    "Cancelled",
    "ClusterDrive",
    "Drive",
    "Estimate",
    "Jobs",
    "Snapshot",
    "cancel",
    "default_workers",
    "estimate_seconds",
    "training_flops",
    "visible_gpus",
]
