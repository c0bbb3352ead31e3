"""The schedules of a study in other people's trainers."""

from robustlr.integrations.trainer import ScheduleCallback

__all__ = ["ScheduleCallback"]
