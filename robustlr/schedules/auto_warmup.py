"""AutoWU: raise the learning rate until the loss has passed its minimum (arXiv 2107.05855).

Notation
    T, W    num_steps, and W = ⌈max_warmup_fraction·T⌉, the longest warmup
    q       min_multiplier, the lowest over the highest learning rate of the warmup
    m_t     q^(1 − t/W) during an exponential warmup, q + (1 − q)·t/W during a linear one
    s, m_s  the step at which the warmup ended, and the multiplier it went back to

The highest learning rate that the warmup can reach is the grid's peak_lr: the claim to test is
that a too large one no longer hurts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from robustlr.errors import SpecError, did_you_mean
from robustlr.schedules.base import FeedbackSchedule
from robustlr.schedules.explosion import Suspicion, suspected
from robustlr.schedules.feedback import Feedback
from robustlr.schedules.loss_blocks import LossBlocks
from robustlr.schedules.minimum_test import MIN_POINTS, Verdict, confirmed, judge
from robustlr.schedules.require import require_count, require_number, require_share

_TESTS_PER_WARMUP = 50
_CHOICES = {"warmup": ("exponential", "linear"), "after": ("cosine", "constant")}

PASSED, PASSED_AT_END = "minimum_passed", "minimum_passed_at_end"
NON_FINITE, EXPLODED = "non_finite_loss", "loss_exploded"
NEVER_FIRED, NEVER_TESTED = "test_never_fired", "too_short_to_test"


@dataclass(frozen=True, slots=True)
class AutoWarmupState:
    """Where a run stands.

    step: of the last feedback, −1 before any. blocks: the warmup's losses. tests, positives:
    tests so far, and how many of the last ones in a row were positive. probability: of the last
    test, 0 where the losses were no higher than before (the checks of `minimum_test`).
    suspicion: that the loss has just exploded.
    switch_step, reason, reached, multiplier: once the warmup has ended, when, why (one of this
    module's constants), the multiplier that it had reached, and m_s.
    """

    step: int
    num_steps: int
    blocks: LossBlocks = field(default_factory=LossBlocks)
    tests: int = 0
    positives: int = 0
    probability: float | None = None
    suspicion: Suspicion | None = None
    switch_step: int | None = None
    reason: str | None = None
    reached: float | None = None
    multiplier: float | None = None

    def at(
        self, step: int, blocks: LossBlocks, suspicion: Suspicion | None = None
    ) -> AutoWarmupState:
        """The same at another step. Every update makes one: `dataclasses.replace` costs 7 times
        as much."""
        return AutoWarmupState(
            step, self.num_steps, blocks, self.tests, self.positives, self.probability, suspicion,
            self.switch_step, self.reason, self.reached, self.multiplier,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoWarmup(FeedbackSchedule[AutoWarmupState]):
    """Warmup until a Gaussian process says that the loss has passed its minimum, then decay.

    min_multiplier: q = lr_min/lr_max, in (0, 1). warmup: "exponential" or "linear".
    max_warmup_fraction: in (0, 1]; a warmup that never finds a minimum ends after this share
        of the horizon, at the last update at the latest. Its last test then stands alone: where
        it is positive, the learning rate goes back, otherwise it goes on from the one reached.
    test_every: updates between tests; 0 takes W/50, rounded up. A test needs 8 losses.
    confidence, votes, lengthscale: of a test, see `robustlr.schedules.minimum_test.judge`; it is
        positive where its checks hold and its probability exceeds the confidence. Telemetry and
        outcome give that probability, and 0 where a check fails.
    patience: positive tests in a row that end the warmup.
    after: "cosine" decays at once, from m_s to 0 over the steps that are left; "constant" stays
        at m_s and does so over the last cooldown_fraction of the horizon.

    The learning rate goes back to the one at the minimum of the fitted curve; the weights are
    not rewound. There is no waiting for tests where the loss explodes (a block's mean exceeds all
    before by twice their range, and the next two losses do not come back either) or is not
    finite: that ends the warmup, at the minimum so far. A learning rate cannot revive
    weights that are not finite: a loop of your own must not apply such a loss's gradient, and the
    study's loop ends the run as diverged.

    >>> schedule = AutoWarmup(min_multiplier=0.01)
    >>> state = schedule.init(400)
    >>> for step in range(400):  # the lowest loss is at step 100, a multiplier of 0.1
    ...     state = schedule.update(state, Feedback(step, abs(step - 100) / 100))
    >>> state.reason, state.switch_step, round(state.multiplier, 3)
    ('minimum_passed', 115, 0.101)
    """

    kind: Literal["auto_warmup"] = "auto_warmup"
    min_multiplier: float = 1e-5
    warmup: Literal["exponential", "linear"] = "exponential"
    max_warmup_fraction: float = 0.5
    test_every: int = 0
    confidence: float = 0.95
    votes: int = 5
    patience: int = 3
    lengthscale: float = 0.2
    after: Literal["cosine", "constant"] = "cosine"
    cooldown_fraction: float = 0.2
    state_type: ClassVar[type[Any]] = AutoWarmupState

    def __post_init__(self) -> None:
        lowest = "min_multiplier, the lowest over the highest learning rate,"
        require_share(lowest, self.min_multiplier, below_one=True)
        require_share("max_warmup_fraction", self.max_warmup_fraction)
        require_share("confidence", self.confidence, below_one=True)
        require_share("cooldown_fraction", self.cooldown_fraction)
        require_number("lengthscale", self.lengthscale)
        if not (math.isfinite(self.lengthscale) and self.lengthscale > 0.0):
            raise SpecError(f"lengthscale must be a positive number, got {self.lengthscale}")
        for name, least in (("test_every", 0), ("votes", 1), ("patience", 1)):
            require_count(name, getattr(self, name), least)
        if self.votes > MIN_POINTS:
            raise SpecError(f"votes must be at most {MIN_POINTS}, got {self.votes}")
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                raise SpecError(f"unknown {name} '{value}'; {did_you_mean(str(value), known)}")

    def warmup_steps(self, num_steps: int) -> int:
        """W, the longest warmup of a run of `num_steps` updates."""
        return math.ceil(self.max_warmup_fraction * num_steps)

    def cadence(self, num_steps: int) -> int:
        """Updates between tests in a run of `num_steps`."""
        return self.test_every or math.ceil(self.warmup_steps(num_steps) / _TESTS_PER_WARMUP)

    def init(self, num_steps: int) -> AutoWarmupState:
        return AutoWarmupState(-1, num_steps)

    def update(self, state: AutoWarmupState, feedback: Feedback) -> AutoWarmupState:
        step, loss = feedback.step, feedback.train_loss
        if step <= state.step:  # an update that was skipped, and is tried again
            return state
        if state.switch_step is not None:
            return state.at(step, state.blocks)
        before = state.blocks if state.suspicion is None else state.suspicion.before
        if not math.isfinite(loss):
            return self._ended(state.at(step, before), NON_FINITE, self.judged(before))
        blocks = state.blocks.add(loss)
        suspicion = suspected(state.suspicion, state.blocks, blocks, loss)
        if suspicion is not None and suspicion.confirmed:  # the minimum is sought without it
            return self._ended(state.at(step, before), EXPLODED, self.judged(before))
        state = state.at(step, blocks, suspicion)
        over = step >= min(self.warmup_steps(state.num_steps), state.num_steps - 1)
        if not over and (step + 1) % self.cadence(state.num_steps):
            return state
        verdict = None
        if len(blocks.means) >= MIN_POINTS:
            verdict = confirmed(blocks.means, lengthscale=self.lengthscale, votes=self.votes)
            probability = 0.0 if verdict is None else verdict.probability
            positive = probability > self.confidence
            state = dataclasses.replace(
                state,
                tests=state.tests + 1,
                positives=state.positives + 1 if positive else 0,
                probability=probability,
            )
            if state.positives >= self.patience:
                return self._ended(state, PASSED, verdict)
            verdict = verdict if positive else None
        if over and verdict is not None:
            return self._ended(state, PASSED_AT_END, verdict)
        if over:
            return self._ended(state, NEVER_FIRED if state.tests else NEVER_TESTED, None)
        return state

    def multiplier(self, state: AutoWarmupState) -> float:
        if state.switch_step is None or state.multiplier is None:
            return self._ramp(max(state.step, 0), state.num_steps)
        start = state.switch_step
        if self.after == "constant":
            start = max(start, math.floor((1.0 - self.cooldown_fraction) * state.num_steps))
        left = max(state.num_steps - start, 1)
        u = min(max(state.step - start, 0) / left, 1.0)
        return state.multiplier * (1.0 + math.cos(math.pi * u)) / 2.0

    def telemetry(self, state: AutoWarmupState) -> Mapping[str, float]:
        return {
            "warmup_probability": math.nan if state.probability is None else state.probability,
            "warmup_tests": float(state.tests),
        }

    def outcome(self, state: AutoWarmupState) -> Mapping[str, int | float | str | None]:
        return {
            "warmup_switch_step": state.switch_step,
            "warmup_reason": state.reason,
            "warmup_reached_multiplier": state.reached,
            "warmup_multiplier": state.multiplier,
            "warmup_tests": state.tests,
            "warmup_probability": state.probability,
        }

    def load(self, values: Mapping[str, Any]) -> AutoWarmupState:
        held = values.get("suspicion")
        parts = {
            "blocks": LossBlocks.load(values["blocks"]),
            "suspicion": None if held is None else Suspicion.load(held),
        }
        return AutoWarmupState(**{**values, **parts})

    def judged(self, blocks: LossBlocks) -> Verdict | None:
        """What the process says of `blocks`, whether or not the checks hold; None of too few."""
        if len(blocks.means) < MIN_POINTS:
            return None
        return judge(blocks.means, lengthscale=self.lengthscale, votes=self.votes)

    def _ramp(self, step: float, num_steps: int) -> float:
        u = min(step / self.warmup_steps(num_steps), 1.0)
        if self.warmup == "linear":
            return self.min_multiplier + (1.0 - self.min_multiplier) * u
        return float(self.min_multiplier ** (1.0 - u))

    def _ended(
        self, state: AutoWarmupState, reason: str, verdict: Verdict | None
    ) -> AutoWarmupState:
        """The state after a warmup that ends at `state.step`. verdict: where to go back to; None
        goes on from the multiplier reached."""
        reached = self._ramp(state.step, state.num_steps)
        if reason == NON_FINITE and verdict is None:
            means = state.blocks.means  # too few to fit: their lowest, or the start of the warmup
            lowest = (means.index(min(means)) + 0.5) * state.blocks.size if means else 0.0
            multiplier = self._ramp(lowest, state.num_steps)
        elif verdict is not None:
            multiplier = self._ramp(verdict.minimum * state.blocks.losses, state.num_steps)
        else:
            multiplier = reached
        return dataclasses.replace(
            state,
            blocks=LossBlocks(),
            suspicion=None,
            switch_step=state.step,
            reason=reason,
            reached=reached,
            multiplier=min(multiplier, reached),
        )
