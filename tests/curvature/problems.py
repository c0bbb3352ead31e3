"""Small problems whose Hessian can be written down whole, and the slow way to do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from robustlr.curvature import Estimator


@dataclass
class Case:
    """A model, a batch, its loss, and (logits, labels) where the loss is a cross entropy."""

    model: nn.Module
    batch: Any
    loss_fn: Callable[[nn.Module, Any], Tensor]
    logits_fn: Callable[[nn.Module, Any], Tensor] | None = None

    def sample_loss_fn(
        self, model: nn.Module, batch: Any, generator: torch.Generator
    ) -> tuple[Tensor, int]:
        assert self.logits_fn is not None
        logits = self.logits_fn(model, batch)
        labels = torch.multinomial(logits.detach().softmax(-1), 1, generator=generator)[:, 0]
        return functional.cross_entropy(logits, labels), len(labels)


class Quadratic(nn.Module):
    """½ θᵀAθ with an indefinite A of negative trace."""

    def __init__(self, n: int = 6) -> None:
        super().__init__()
        a = torch.randn(n, n)
        self.register_buffer("a", a + a.T - 3.0 * torch.eye(n))
        self.theta = nn.Parameter(torch.randn(n))

    def forward(self, _: Tensor) -> Tensor:
        return 0.5 * self.theta @ self.a @ self.theta


class Attention(nn.Module):
    """Causal self-attention through the fused kernel."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(b, t, d))


class Block(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, 2)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """Two layers, tied embedding; `checkpointed` recomputes every block."""

    def __init__(self, vocabulary: int = 7, width: int = 8, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(2))
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.embedding.weight
        self.checkpointed: bool | None = None  # use_reentrant, or None for no checkpoints

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for block in self.blocks:
            if self.checkpointed is None:
                x = block(x)
            else:
                x = torch.utils.checkpoint.checkpoint(block, x, use_reentrant=self.checkpointed)
        return self.head(x)


def classification(model: nn.Module, inputs: Tensor, classes: int) -> Case:
    labels = torch.randint(0, classes, (len(inputs),))
    return Case(
        model,
        (inputs, labels),
        lambda m, batch: functional.cross_entropy(m(batch[0]), batch[1]),
        lambda m, batch: m(batch[0]),
    )


def quadratic() -> Case:
    torch.manual_seed(0)
    return Case(Quadratic().double(), torch.zeros(4), lambda m, batch: m(batch))


def logistic() -> Case:
    torch.manual_seed(1)
    x = torch.randn(24, 5, dtype=torch.float64)
    y = torch.randint(0, 2, (24,)).double()

    def loss(m: nn.Module, batch: Any) -> Tensor:
        return functional.binary_cross_entropy_with_logits(m(batch[0])[:, 0], batch[1])

    return Case(nn.Linear(5, 1).double(), (x, y), loss)


def mlp(examples: int = 16) -> Case:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 3))
    return classification(model.double(), torch.randn(examples, 6).double(), 3)


def batch_norm() -> Case:
    """Every example's loss depends on all others through the statistics of the batch."""
    torch.manual_seed(6)
    norm = nn.BatchNorm1d(8, track_running_stats=False)  # functorch cannot move them in place
    model = nn.Sequential(nn.Linear(5, 8), norm, nn.GELU(), nn.Linear(8, 3))
    return classification(model.double(), torch.randn(16, 5).double(), 3)


def conv_net() -> Case:
    torch.manual_seed(3)
    model = nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.GELU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(4, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.GELU(), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(4, 3)),
    )
    return classification(model.double(), torch.randn(8, 2, 6, 6).double(), 3)


def transformer(dropout: float = 0.0) -> Case:
    torch.manual_seed(4)
    tokens = torch.randint(0, 7, (6, 6))
    return Case(
        Transformer(dropout=dropout).double(),
        tokens,
        lambda m, t: functional.cross_entropy(m(t[:, :-1]).flatten(0, 1), t[:, 1:].flatten()),
        lambda m, t: m(t[:, :-1]).flatten(0, 1),
    )


CASES = {f.__name__: f for f in (quadratic, logistic, mlp, batch_norm, conv_net, transformer)}
DRAWS = {
    "quadratic": 600, "logistic": 600, "mlp": 400, "batch_norm": 400, "conv_net": 300,
    "transformer": 150,
}  # fmt: skip
"""Probes by case: enough to tell a wrong estimator."""
LABEL_DRAWS = {"mlp": 1500, "batch_norm": 1500, "conv_net": 1500, "transformer": 400}
"""The same for labels drawn from the model; the other cases offer none."""


def flat(tensors: dict[str, Tensor]) -> Tensor:
    return torch.cat([t.detach().flatten() for t in tensors.values()])


def _as_function_of_weights(
    case: Case, fn: Callable[[nn.Module, Any], Tensor]
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    parameters = {n: p for n, p in case.model.named_parameters() if p.requires_grad}
    sizes = [p.numel() for p in parameters.values()]

    def call(theta: Tensor) -> Tensor:
        parts = theta.split(sizes)
        weights = {
            n: part.view_as(p) for part, (n, p) in zip(parts, parameters.items(), strict=True)
        }

        def model(*inputs: Tensor) -> Tensor:
            return torch.func.functional_call(case.model, weights, inputs)

        return fn(model, case.batch)  # type: ignore[arg-type]

    return call, flat(parameters)


def dense_hessian(case: Case) -> Tensor:
    """The whole Hessian of the loss in the trainable parameters, [n, n]."""
    loss, theta = _as_function_of_weights(case, case.loss_fn)
    with sdpa_kernel(SDPBackend.MATH):
        # Reverse over reverse: torch.func.hessian's forward mode warns when it is first loaded.
        return torch.func.jacrev(torch.func.jacrev(loss))(theta)


def dense_gauss_newton(case: Case) -> Tensor:
    """1/N Σ Jᵀ(diag p − ppᵀ)J over the N logits vectors, [n, n]."""
    assert case.logits_fn is not None
    logits_fn, theta = _as_function_of_weights(case, case.logits_fn)
    with sdpa_kernel(SDPBackend.MATH):
        jacobian = torch.func.jacrev(logits_fn)(theta)  # [N, classes, n]
    p = logits_fn(theta).softmax(-1)
    middle = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    return torch.einsum("bci,bcd,bdj->ij", jacobian, middle, jacobian) / len(p)


def z_scores(
    case: Case, estimator: Estimator, matrix: Tensor, draws: int, seed: int = 0
) -> tuple[float, float, float]:
    """How far the mean of `draws` estimates lies from the truth, in standard errors.

    For the trace, for one random projection of the diagonal, and the worst diagonal entry.
    """
    generator = torch.Generator().manual_seed(seed)
    names = [n for n, p in case.model.named_parameters() if p.requires_grad]
    rows = []
    for _ in range(draws):
        estimate = estimator.estimate(
            *(case.model, case.batch, generator),
            loss_fn=case.loss_fn,
            sample_loss_fn=case.sample_loss_fn,
        )
        row = flat({n: estimate.diagonal[n] for n in names if n in estimate.diagonal})
        assert estimate.trace == torch.tensor(estimate.trace)  # a number, signed
        torch.testing.assert_close(float(row.sum()), estimate.trace)
        rows.append(row)
    samples, truth = torch.stack(rows).double(), matrix.diagonal().double()
    weights = torch.randn(len(truth), generator=torch.Generator().manual_seed(9)).double()

    def z(values: Tensor, target: Tensor) -> Tensor:
        error = values.std(0) / draws**0.5
        # Entries without noise must be right to rounding; they have no z.
        scale = torch.where(error > 1e-9, error, torch.full_like(error, 1e-9))
        return (values.mean(0) - target) / scale

    trace = z(samples.sum(1), truth.sum())
    projection = z(samples @ weights, truth @ weights)
    return float(trace), float(projection), float(z(samples, truth).abs().max())
