"""Everything a person can get wrong in a study file: one clear line that names key and value."""

from __future__ import annotations

import copy
import errno
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustlr.errors import RobustlrError, SpecError
from robustlr.specs import Cell, StudySpec, find_study_file, load_study
from tests.specs.tables import TOML, VALID, edited, write

# (what is changed, what the line must hold: the key's path and the offending value)
BAD: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    # unknown keys, with the nearest name
    ({"seds": 3}, ("seds: unknown key", "did you mean 'seeds'?")),
    ({"grid__points_per_decad": 4}, ("grid.points_per_decad:", "'points_per_decade'")),
    ({"training__evaluate_every": 4}, ("training.evaluate_every:", "'eval_every'")),
    ({"execution__threads": 4}, ("execution.threads: unknown key", "threads_per_cell")),
    ({"report__epsilom": 0.1}, ("report.epsilom:", "did you mean 'epsilon'?")),
    ({"optimizer__momentun": 0.9}, ("optimizer.momentun:", "did you mean 'momentum'?")),
    ({"schedule": [{"kind": "fixed", "floor": 1}]}, ("schedule[0].floor: unknown key",)),
    (
        {"schedule": [{"kind": "fixed"}, {"kind": "warmup", "warmup_fracton": 0.2}]},
        ("schedule[1].warmup_fracton:", "did you mean 'warmup_fraction'?"),
    ),
    # missing parts
    ({"grid": None}, ("grid: is required",)),
    ({"workload": None}, ("workload: is required",)),
    ({"schedule": None}, ("schedule: is required",)),
    ({"seeds": None}, ("seeds: is required",)),
    ({"batch_size": None}, ("batch_size: is required",)),
    ({"grid__low": None}, ("grid.low: is required",)),
    ({"num_steps": None}, ("num_steps or num_examples", "got neither")),
    ({"optimizer__kind": None}, ("optimizer: needs a kind",)),
    ({"workload__kind": None}, ("workload", "kind or a factory")),
    # wrong types
    ({"grid": 3}, ("grid: must be a table", "got 3")),
    ({"grid__low": "small"}, ("grid.low: must be a number", "got 'small'")),
    ({"grid__low": True}, ("grid.low: must be a number", "got True")),
    ({"grid__points_per_decade": 2.5}, ("grid.points_per_decade: must be a whole", "2.5")),
    ({"seeds": "six"}, ("seeds: must be a whole number", "got 'six'")),
    ({"seeds": [0, "one"]}, ("seeds[1]: must be a whole number", "got 'one'")),
    ({"seeds": True}, ("seeds: must be a whole number, got True",)),
    ({"seeds": 2.5}, ("seeds: must be a whole number, got 2.5",)),
    ({"seeds": "2"}, ("seeds: must be a whole number, got '2'",)),
    ({"batch_size": "64"}, ("batch_size: must be a whole number", "got '64'")),
    ({"batch_size": [64, 1.5]}, ("batch_size[1]: must be a whole number", "got 1.5")),
    ({"num_steps": {"a": 1}}, ("num_steps: must be a whole number", "{'a': 1}")),
    ({"workload": "digits_mlp"}, ("workload: must be a table", "'digits_mlp'")),
    ({"workload__options": 3}, ("workload.options: must be a table", "got 3")),
    ({"workload__label": 3}, ("workload.label: must be text", "got 3")),
    ({"optimizer": "sgd"}, ("optimizer", "'sgd'")),
    ({"optimizer__momentum": "high"}, ("optimizer.momentum: must be a number", "'high'")),
    ({"optimizer__nesterov": 1}, ("optimizer.nesterov: must be true or false", "got 1")),
    ({"training__precision": "fp8"}, ("training.precision:", "'fp32', 'bf16' or 'fp16'", "'fp8'")),
    ({"training__clip_norm": "no"}, ("training.clip_norm: must be a number", "'no'")),
    ({"schedule": [3]}, ("schedule[0]:", "a table with a kind, or a name", "3")),
    ({"question": 42}, ("question: must be text", "got 42")),
    # learning rates and the grid
    ({"grid__low": -1e-3}, ("grid: low must be a positive learning rate", "-0.001")),
    ({"grid__low": 0.0}, ("grid: low must be a positive learning rate", "got 0.0")),
    ({"grid__low": math.nan}, ("grid: low must be a positive learning rate", "got nan")),
    ({"grid__high": math.inf}, ("grid: high must be a positive learning rate", "got inf")),
    ({"grid__high": 1e-4}, ("grid: high (0.0001) is below low (0.001)",)),
    ({"grid": {"low": 0.2, "high": 0.3}}, ("grid: the grid is empty", "0.2 and 0.3")),
    ({"grid__points_per_decade": 0}, ("grid: points_per_decade must be between 1", "got 0")),
    ({"grid__points_per_decade": 10**400}, ("grid: points_per_decade must be between",)),
    # seeds, batches, budgets
    ({"seeds": 0}, ("seeds must be at least 1, got 0",)),
    ({"seeds": -2}, ("seeds must be at least 1, got -2",)),
    ({"seeds": []}, ("seeds must name at least one, got []",)),
    ({"seeds": [0, -1]}, ("seeds must be between 0 and", "got -1")),
    ({"seeds": [0, 2**31]}, ("seeds must be between 0 and", "got 2147483648")),
    ({"seeds": [1, 2, 1]}, ("seeds names '1' 2 times",)),
    ({"seeds": 10**30}, ("seeds must be at most 100000",)),
    ({"batch_size": 0}, ("batch_size must be between 1 and", "got 0")),
    ({"batch_size": [64, 64]}, ("batch_size names '64' 2 times",)),
    ({"batch_size": 10**400}, ("batch_size must be between 1 and",)),
    ({"num_steps": -5}, ("num_steps must be between 1 and", "got -5")),
    ({"num_examples": 25600}, ("num_steps or num_examples", "got both")),
    ({"num_steps": [], "num_examples": 10}, ("num_examples 10", "one batch of 64")),
    ({"training__processes_per_cell": 3}, ("batch_size 64", "processes_per_cell", "= 3")),
    (
        {"training__accumulation_steps": 5, "batch_size": [60, 64]},
        ("batch_size 64", "accumulation_steps", "= 5"),
    ),
    # options out of range
    ({"training__eval_every": 0}, ("training: eval_every must be at least 1, got 0",)),
    ({"training__log_every": -1}, ("training: log_every must be 0 or more, got -1",)),
    ({"training__clip_norm": 0.0}, ("training: clip_norm must be a positive", "got 0.0")),
    ({"training__clip_norm": math.nan}, ("training: clip_norm", "got nan")),
    ({"training__accumulation_steps": 0}, ("training: accumulation_steps", "got 0")),
    ({"training__processes_per_cell": -1}, ("training: processes_per_cell", "got -1")),
    ({"training__ema_decay": 1.0}, ("training: ema_decay must be between 0 and 1, got 1.0",)),
    ({"training__ema_decay": math.nan}, ("training: ema_decay must be between 0 and 1", "nan")),
    ({"training__compile": "yes"}, ("training.compile: must be true or false", "'yes'")),
    ({"training__channels_last": 1}, ("training.channels_last: must be true or false",)),
    ({"training__gradient_checkpoint": True}, ("'gradient_checkpointing'",)),
    ({"training__accelerate_config": {}}, ("accelerate_config (FSDP) needs processes_per_cell",)),
    (
        {"training": {"accelerate_config": {}, "processes_per_cell": 2, "precision": "fp16"}},
        ("accelerate_config (FSDP) does not go with precision = 'fp16'", "bf16"),
    ),
    (
        {"training": {"accelerate_config": {}, "processes_per_cell": 2, "compile": True}},
        ("accelerate_config (FSDP) does not go with compile = true",),
    ),
    (
        {"training": {"accelerate_config": {}, "processes_per_cell": 2, "channels_last": True}},
        ("accelerate_config (FSDP) does not go with channels_last = true",),
    ),
    (
        {
            "training": {"accelerate_config": {}, "processes_per_cell": 2},
            "schedule": ["fixed", "curvature_adaptive"],
        },
        ("schedule 'curvature_adaptive': FSDP has no double backward", "'gauss_newton'"),
    ),
    *(
        (
            {"schedule": ["fixed", {"kind": "curvature_adaptive", key: value}]},
            (where, f"got {value}"),
        )
        for key, value, where in [
            ("every", 0, "schedule[1]: every must be at least 1"),
            ("batch_fraction", 0.0, "schedule[1]: batch_fraction must be in (0, 1]"),
            ("probes", 0, "schedule[1]: probes must be at least 1"),
            ("strength", -1.0, "schedule[1]: strength must be a finite number"),
            ("strength", math.nan, "schedule[1]: strength must be a finite number"),
            ("max_skipped", 0, "schedule[1]: max_skipped must be at least 1"),
        ]
    ),
    (
        {"schedule": ["fixed", {"kind": "curvature_adaptive", "estimator": "hutchison"}]},
        ("schedule[1]: unknown estimator 'hutchison'", "did you mean 'hutchinson'?"),
    ),
    ({"execution__threads_per_cell": 0}, ("execution: threads_per_cell", "got 0")),
    ({"execution__cells_per_gpu": 0}, ("execution: cells_per_gpu", "got 0")),
    ({"execution__max_retries": -1}, ("execution: max_retries", "got -1")),
    ({"execution__timeout_seconds": 0.0}, ("execution: timeout_seconds", "got 0.0")),
    ({"execution__timeout_seconds": math.inf}, ("execution: timeout_seconds", "got inf")),
    ({"execution__timeout_seconds": math.nan}, ("execution: timeout_seconds", "got nan")),
    ({"execution__heartbeat_seconds": math.inf}, ("heartbeat_seconds", "at most 3600", "inf")),
    ({"execution__heartbeat_seconds": 3601.0}, ("heartbeat_seconds", "at most 3600", "3601")),
    ({"execution__slurm": {"grace_seconds": 10**6}}, ("slurm: grace_seconds", "65535")),
    ({"execution__slurm": {"partitions": "a"}}, ("slurm.partitions:", "'partition'")),
    ({"execution__slurm": {"workers": 0}}, ("slurm: workers must be at least 1", "got 0")),
    ({"execution__slurm": {"gpus_per_worker": 2}}, ("gpus_per_worker", "0 or", "1", "got 2")),
    ({"execution__slurm": {"partition": "a\n#SBATCH -b"}}, ("slurm: an option", "one line")),
    ({"execution__slurm": {"extra": {"array": "0-3"}}}, ("extra.array: robustlr sets",)),
    ({"execution__slurm": {"extra": {"-p": "gpu"}}}, ("extra names options of sbatch", "'-p'")),
    *(
        (
            {"execution__slurm": {"gpus_per_worker": gpus, "extra": {option: value}}},
            (f"slurm: extra.{option}: ask for GPUs with gpus_per_worker",),
        )
        for gpus, option, value in [
            (0, "gres", "gpu:1"),
            (0, "gres", "lustre:1,gpu:a100:2"),
            (0, "gpus", 1),
            (1, "gpus-per-node", 1),
            (0, "gpus-per-task", "a100:1"),
            (0, "tres-per-task", "gres:gpu:1"),
            (1, "gres", "gpu:4"),
            (1, "gres", "gpu:a100:4"),
        ]
    ),
    ({"execution__slurm": {"extra": {"exclusive": False}}}, ("extra.exclusive", "leave out")),
    ({"report__epsilon": 1.5}, ("report: epsilon must be in (0, 1), got 1.5",)),
    ({"report__target": math.inf}, ("report: target must be a finite loss, got inf",)),
    ({"optimizer__momentum": 1.0}, ("optimizer: momentum must be in [0, 1), got 1.0",)),
    ({"optimizer__weight_decay": -1.0}, ("optimizer: weight_decay", "got -1.0")),
    ({"schedule": ["fixed", "polynomial:degree=-1"]}, ("schedule[1]: degree must be", "-1.0")),
    # names
    ({"schedule": ["fixed", "cosin"]}, ("schedule[1]: unknown schedule 'cosin'", "'cosine'")),
    ({"optimizer__kind": "adm"}, ("optimizer: unknown kind 'adm'", "'adam' or 'adamw'")),
    (
        {"optimizer": {"kind": "factory", "factory": "nonsense"}},
        ("optimizer:", "package.module:name, got 'nonsense'"),
    ),
    ({"workload": {"factory": "a b:c"}}, ("workload:", "package.module:name, got 'a b:c'")),
    ({"workload__factory": "a:b"}, ("workload:", "either a kind or a factory")),
    ({"report__baseline": "fixd"}, ("report.baseline 'fixd'", "did you mean 'fixed'?")),
    ({"schedule": ["cosine"]}, ("report.baseline 'fixed' is not one of the schedules",)),
    ({"schedule": []}, ("schedule must name at least one, got []",)),
    ({"schedule": ["fixed", "cosine", "fixed"]}, ("schedule names 'fixed' 2 times",)),
    (
        {"workload": [{"kind": "logistic"}, {"kind": "logistic", "dim": 3}]},
        ("workload names 'logistic' 2 times; give each a label",),
    ),
    ({"name": "../elsewhere"}, ("name must be a plain name", "'../elsewhere'")),
    ({"name": "a/b"}, ("name must not hold a slash", "'a/b'")),
    ({"name": " "}, ("name must be a plain name", "' '")),
]


def refusal(table: dict[str, Any]) -> str:
    with pytest.raises(SpecError) as caught:
        StudySpec.from_table(table, where="mine.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "address"),
    [
        ("storage", "me:{}@h/x"),
        ("storage", ["postgresql://me:{}@h/x"]),
        ("results", "me:{}@h/x"),
        ("results", "sftp://me:{}@h/x"),
        ("results", "sftp://me:{}/x"),
        ("results", "sftp://me:a/{}@h/x"),
        ("results", "simplecache::sftp://me:{}@h/x"),
        ("results", "dir::ftp://h/x?password={}"),
        ("results", "az://bucket/x?sas_token={}"),
        ("results", {"url": "sftp://me:{}@h/x"}),
    ],
)
def test_a_password_is_never_shown(key: str, address: Any) -> None:
    """Wherever it is: the address is not one, or one that must not hold it."""
    text = json.dumps(address).replace("{}", "s3cr3t")
    line = refusal(edited(**{f"execution__{key}": json.loads(text)}))
    assert f"execution.{key}: must be text" in line or f"execution: {key} must be" in line
    assert "s3cr3t" not in line


def test_options_of_sbatch_that_are_good() -> None:
    for gpus, extra in ((1, {"gres": "gpu:a100:1"}), (0, {"gres": "lustre:1", "gpu-bind": "none"})):
        slurm = {"gpus_per_worker": gpus, "extra": extra}
        spec = StudySpec.from_table(edited(execution__slurm=slurm))
        assert spec.execution.slurm.extra == extra


@pytest.mark.parametrize(
    ("key", "address"),
    [
        ("storage", "postgresql://me:a%2Fb?c:d@h:5432/x?sslmode=require&options=-c%20a%3Db"),
        ("storage", "postgresql+psycopg://me@[::1]:5432,other-host:1/x"),
        ("storage", "postgres:///x?host=/var/run/postgresql"),
        ("storage", "postgresql://%2Fvar%2Frun/x"),
        ("storage", "postgresql://"),
        ("results", "abfs://container@account.dfs.core.windows.net/x"),
        ("results", "hdfs://me@h:8020/x"),
        ("results", "simplecache::s3://bucket/a@b:c"),
        ("results", "dir::file:///a/b"),
        ("results", "ftp://[::1]:21/x"),
    ],
)
def test_addresses_that_are_good(key: str, address: str) -> None:
    spec = StudySpec.from_table(edited(**{f"execution__{key}": address}))
    assert getattr(spec.execution, key) == address


@pytest.mark.parametrize(
    ("changes", "expected"),
    BAD,
    ids=["-".join(changes) + str(i) for i, (changes, _) in enumerate(BAD)],
)
def test_one_clear_line(changes: dict[str, Any], expected: tuple[str, ...]) -> None:
    line = refusal(edited(**changes))
    assert line.startswith("mine.toml: ")
    assert "\n" not in line
    assert len(line) < 700
    for part in expected:
        assert part in line
    for jargon in ("pydantic", "Value error", "validation error", "Traceback", "tagged"):
        assert jargon not in line


def test_there_are_many_of_them() -> None:
    assert len(BAD) >= 45


def test_several_mistakes_are_told_at_once_and_too_many_are_counted() -> None:
    assert refusal(edited(grid__low="a", grid__high="b")) == (
        "mine.toml: grid.low: must be a number, got 'a'; grid.high: must be a number, got 'b'"
    )
    assert refusal(edited(seeds=["x"] * 40)).endswith("; and 35 more")


def test_the_path_is_the_one_in_the_file() -> None:
    alone = refusal(edited(optimizer={"kind": "sgd", "momentum": "x"}))
    listed = refusal(edited(optimizer=[{"kind": "adam"}, {"kind": "sgd", "momentum": "x"}]))
    assert "optimizer.momentum:" in alone
    assert "optimizer[1].momentum:" in listed
    table = next(StudySpec.from_table(VALID).cells()).table()
    table["optimizer"]["momentun"] = 0.1
    with pytest.raises(SpecError, match=r"^cell: optimizer.momentun: unknown key; did you mean"):
        Cell.from_table(table)


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[grid\nlow = 1", ("not valid TOML", "line 1")),
        (TOML.replace("low = 1e-3", "low = "), ("not valid TOML", "line 7")),
        (TOML + "\n[grid]\nlow = 1\n", ("not valid TOML", "line 36")),
        (TOML.replace("seeds = 3", "seeds = 3\nseeds = 4"), ("not valid TOML", "line 3")),
        (b"question = '\xff'", ("not UTF-8 text", "byte 12")),
        (b"\x00\x01\x02", ("not valid TOML",)),
        ("seeds = " + "9" * 5000, ("not valid TOML", "digits")),
        ("seeds = " + "[" * 5000, ("not valid TOML",)),
        ("", ("is required",)),
        ("seeds = 2020-01-01", ("seeds: must be a whole number", "2020-01-01")),
    ],
    ids=range(10),
)
def test_files_that_are_no_study(tmp_path: Path, text: str | bytes, expected: tuple[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SpecError) as caught:
        load_study(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    for part in expected:
        assert part in line


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no.toml: no such study file; `robustlr study init no`"):
        find_study_file(str(tmp_path / "no.toml"))
    with pytest.raises(SpecError, match=r"no.toml: cannot be read: No such file"):
        load_study(tmp_path / "no.toml")


def test_an_unknown_study() -> None:
    with pytest.raises(
        SpecError, match="no file and no packaged study 'digit'; did you mean 'digi"
    ):
        find_study_file("digit")
    with pytest.raises(SpecError, match=r"'zzz'; `robustlr study list` shows what there is$"):
        find_study_file("zzz")


def test_a_study_file_named_without_its_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=r"'t'; did you mean t\.toml\?$"):
        find_study_file("t")
    with pytest.raises(SpecError, match=r"did you mean .*/t\.toml\?$"):
        find_study_file(str(tmp_path / "t"))


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "study.toml").mkdir()
    with pytest.raises(SpecError, match=r"study.toml: is a folder, not a study file"):
        find_study_file(str(tmp_path / "study.toml"))
    with pytest.raises(SpecError, match=r"study.toml: cannot be read: Is a directory"):
        load_study(tmp_path / "study.toml")


def test_names_the_file_system_refuses(tmp_path: Path) -> None:
    for name in ("x" * 5000, "a\0b"):
        with pytest.raises(SpecError):
            find_study_file(name)


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)  # root may read everything
    with pytest.raises(SpecError, match=r"mine.toml: cannot be read: Permission denied"):
        load_study(write(tmp_path, TOML))


# -- whatever else ---------------------------------------------------------------------------------

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=20),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
known_keys = st.sampled_from([*VALID, "num_examples", "name", "kind", "low", "then", "options"])
random_tables = st.dictionaries(st.one_of(known_keys, st.text(max_size=8)), values, max_size=8)


def places(table: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in nested tables and lists."""
    found = [path] if path else []
    items = (
        table.items()
        if isinstance(table, dict)
        else enumerate(table)
        if isinstance(table, list)
        else ()
    )
    for key, value in items:
        found += places(value, (*path, key))
    return found


@st.composite
def broken_studies(draw: st.DrawFn) -> dict[str, Any]:
    """VALID with a few values replaced, taken out, or joined by unknown keys."""
    table = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(places(table)))
        place: Any = table
        for key in parents:
            place = place[key]
        action = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if action == "replace":
            place[last] = draw(values)
        elif action == "remove":
            del place[last]
        elif isinstance(place, dict):
            place[draw(st.text(max_size=8))] = draw(values)
        if not table:
            break
    return table


def line_or_none(read: Callable[[], object]) -> str | None:
    """What `read` refuses with; anything but a RobustlrError fails the test."""
    try:
        read()
    except RobustlrError as error:
        return str(error)
    return None


@settings(deadline=None, max_examples=250)
@given(st.one_of(random_tables, broken_studies()))
def test_anything_is_a_study_or_one_clear_line(table: dict[str, Any]) -> None:
    line = line_or_none(lambda: StudySpec.from_table(table, where="mine.toml"))
    if line is None:
        spec = StudySpec.from_table(table)
        again = StudySpec.from_table(spec.table())
        assert repr(again) == repr(spec)  # nan, an option of a workload, equals nothing
        assert next(spec.cells()).peak_lr > 0
    else:
        assert "\n" not in line
        assert line.startswith("mine.toml: ")


@settings(deadline=None, max_examples=100)
@given(st.text(alphabet="abcdefgh[]{}=\"'\n.,+-:0123456789 ", max_size=60), st.integers(0, 400))
def test_any_text_is_a_study_or_one_clear_line(
    tmp_path_factory: pytest.TempPathFactory, junk: str, place: int
) -> None:
    path = write(tmp_path_factory.getbasetemp(), TOML[:place] + junk + TOML[place:], "junk.toml")
    line = line_or_none(lambda: load_study(path))
    assert line is None or ("\n" not in line and line.startswith(f"{path}: "))
