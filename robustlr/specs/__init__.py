"""Studies as data: TOML in, frozen dataclasses out."""

from robustlr.specs.address import libpq_url, without_password
from robustlr.specs.cell import Cell, WorkloadSpec
from robustlr.specs.edits import conflicts
from robustlr.specs.execution import ExecutionSpec
from robustlr.specs.files import (
    TEMPLATE,
    find_study_file,
    json_schema,
    load_study,
    packaged_studies,
)
from robustlr.specs.grid import LearningRateGrid, learning_rate
from robustlr.specs.optimizer import (
    SGD,
    Adam,
    AdamW,
    FactoryOptimizer,
    OptimizerSpec,
    PytorchOptimizer,
)
from robustlr.specs.report import ReportSpec
from robustlr.specs.sharding import ShardingSpec
from robustlr.specs.slurm import SlurmSpec
from robustlr.specs.study import StudySpec
from robustlr.specs.training import TrainingSpec

__all__ = [
    "SGD",
    "TEMPLATE",
    "Adam",
    "AdamW",
    "Cell",
    "ExecutionSpec",
    "FactoryOptimizer",
    "LearningRateGrid",
    "OptimizerSpec",
    "PytorchOptimizer",
    "ReportSpec",
    "ShardingSpec",
    "SlurmSpec",
    "StudySpec",
    "TrainingSpec",
    "WorkloadSpec",
    "conflicts",
    "find_study_file",
    "json_schema",
    "learning_rate",
    "libpq_url",
    "load_study",
    "packaged_studies",
    "without_password",
]
