from __future__ import annotations

import itertools

import pytest
import torch

from robustlr.curvature.probes import probe_generator, rademacher, signs


def test_signs_are_fair_and_independent() -> None:
    like = torch.empty(40_000, 8)  # 8 signs come from one draw
    v = rademacher(like, probe_generator(0, 0))
    assert set(v.unique().tolist()) == {-1.0, 1.0}
    correlation = v.T @ v / len(v)
    # Off the diagonal: mean of 40,000 independent signs, standard error 0.005.
    torch.testing.assert_close(correlation, torch.eye(8), atol=0.025, rtol=0.0)
    assert abs(float(v.mean())) < 5 / v.numel() ** 0.5


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (8, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_probe_has_the_shape_and_type_asked_for(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    v = rademacher(torch.empty(shape, dtype=dtype), probe_generator(0, 0))
    assert v.shape == shape
    assert v.dtype == dtype
    assert bool((v.abs() == 1).all())


def test_a_probe_of_many_tensors_is_that_of_one_after_the_other() -> None:
    like = {str(n): torch.empty(n, 3) for n in (5, 8, 0, 1)}
    together, generator = signs(like, probe_generator(0, 0)), probe_generator(0, 0)
    for name, tensor in like.items():
        assert together[name].dtype == torch.int8
        torch.testing.assert_close(together[name].float(), rademacher(tensor, generator))


def test_generators_differ_by_seed_step_and_rank_and_by_nothing_else() -> None:
    draws = {
        key: float(torch.rand(1, dtype=torch.float64, generator=probe_generator(*key)))
        for key in itertools.product((0, 1, 2**31 - 1), (0, 1, 20), (0, 1))
    }
    assert len(set(draws.values())) == len(draws)
    again = float(torch.rand(1, dtype=torch.float64, generator=probe_generator(1, 20, 1)))
    assert again == draws[1, 20, 1]
