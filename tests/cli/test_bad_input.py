"""What can be wrong with data, models and factories, as a user sees it: one line, before any cell.

`study plan` rehearses in this process what `study run` rehearses in its workers (test_images.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from robustlr.workloads.tokenizer import train_tokenizer
from robustlr_cli.app import main
from tests.small_study import write_study
from tests.workloads.datasets_on_disk import write_cifar10, write_imagefolder
from tests.workloads.texts_on_disk import sentences, write_rows, write_wikitext

OWN = """\
import torch
from tests.workloads.samples import Regression

ELSEWHERE = torch.nn.Linear(3, 1)

class OfAnother(Regression):
    def loss(self, model, batch):
        return ELSEWHERE(batch[0]).mean()

class Constant(Regression):
    def loss(self, model, batch):
        return 0.0 * super().loss(model, batch) + batch[1].square().mean()

class NoModel(Regression):
    def model(self, seed):
        return "a model"

def nothing():
    pass
"""
RESNET = "{ embedding_size = 8, hidden_sizes = [8, 16], depths = [1, 1] }"
GPT2 = "{ n_layer = 1, n_embd = 16, n_head = 2, n_positions = 8, vocab_size = 270 }"


def cifar(path: str) -> str:
    return f'kind = "cifar10"\npath = "{path}"\nnetwork = "wrn-10-1"\nvalid_share = 0.2'


def photos(path: str, more: str = "classes = 3") -> str:
    return (
        f'kind = "hf_image_classification"\npath = "{path}"\nsize = 8\npadding = 1\n'
        f"valid_share = 0.25\narchitecture_options = {RESNET}\n{more}"
    )


def imagenet(path: str) -> str:
    return (
        f'kind = "imagenet"\npath = "{path}"\nclasses = 3\nsize = 8\nvalid_share = 0.25\n'
        f"network_options = {RESNET}"
    )


def text(path: str, more: str = "") -> str:
    return f'kind = "hf_causal_lm"\npath = "{path}"\ncontext = 8\noverrides = {GPT2}\n{more}'


WORKLOADS = {
    "no such split": (
        photos("photos", 'classes = 3\ntest_split = "tests"'),
        "photos has no split 'tests', but train, validation",
    ),
    "no such column": (text("text", 'column = "body"'), "has no column 'body', but text"),
    "images of the wrong shape": (cifar("small"), "has 28 × 28 pixels, but CIFAR's have 32 × 32"),
    "one class only": (imagenet("one"), "folders, which must be two or more"),
    "one label only": (cifar("same"), "every example has the label 0, and with one class there"),
    "a label out of range": (photos("photos", "classes = 2"), "(column 'label' must hold 0 to 1)"),
    "a corrupt JPEG, kept": (photos("damaged"), "class_1/9.jpg) cannot be decoded"),
    "a corrupt JPEG, decoded when due": (imagenet("damaged"), "class_1/9.jpg) cannot be decoded"),
    "empty text": (text("blank"), "train split: there is no text, every row is empty"),
    "an empty file": ('kind = "text_bytes"\npath = "nothing.txt"', "there is no text, every file"),
    "a tokenizer that does not fit": (
        text("text", 'tokenizer = "tokenizer"'),
        "does not fit the model: it has 280 tokens, the model's vocabulary 270",
    ),
    "a config of the hub": (
        text("text", 'architecture = "no/such"'),
        "as a model of the hub it is not on this machine; get it with `hf download no/such`",
    ),
    "an unknown config": (text("text", 'architecture = "gtp2"'), "did you mean 'gpt2'?"),
    "pickled weights": (
        text("text", 'weights = "pickled"'),
        "workload 'hf_causal_lm': weights in pickled: pytorch_model.bin is pickled",
    ),
    "a factory of nothing": ('factory = "own:nothing"', "'own:nothing' returned a NoneType"),
    "a model that is none": ('factory = "own:NoModel"', "must return a torch.nn.Module, got str"),
    "a loss of another model": ('factory = "own:OfAnother"', "does not depend on any weight"),
    "a constant loss": ('factory = "own:Constant"', "is zero for every weight"),
    "data that is not here": (
        'kind = "hf_image_classification"',
        "about 0.04 GB, MIT licence; get it with `hf download zalando-datasets/fashion_mnist",
    ),
}


def write_damaged(folder: Path) -> None:
    write_imagefolder(folder, splits={"train": 12, "validation": 4, "test": 4})
    bad = folder / "train" / "class_1" / "9.jpg"
    bad.write_bytes(bad.read_bytes()[:300])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    write_cifar10(folder / "small", size=28)
    write_cifar10(folder / "same", classes=1)
    write_imagefolder(folder / "photos", splits={"train": 12, "validation": 4})
    write_imagefolder(folder / "one", classes=1)
    write_damaged(folder / "damaged")
    write_wikitext(folder / "wikitext")
    (folder / "wikitext" / "wikitext-103-raw-v1").rename(folder / "text")
    for split in ("train", "validation", "test"):
        write_rows(folder / "blank" / f"{split}-00000-of-00001.parquet", [""] * 200)
    (folder / "nothing.txt").touch()
    (folder / "tokenizer").mkdir()
    tokenizer = train_tokenizer(iter(sentences(99, 0)), 280)
    (folder / "tokenizer" / "tokenizer.json").write_text(tokenizer.json)
    (folder / "pickled").mkdir()
    torch.save({}, folder / "pickled" / "pytorch_model.bin")
    (folder / "own.py").write_text(OWN)
    return folder


@pytest.fixture(autouse=True)
def there(data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(data)
    monkeypatch.syspath_prepend(data)
    yield
    (data / "small.toml").unlink()


@pytest.mark.parametrize("name", WORKLOADS)
def test_one_clear_line(name: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workload, message = WORKLOADS[name]
    study = write_study(data, seeds=1, high=0.1, num_steps=4, workload=workload)
    assert main(["study", "plan", str(study)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("robustlr: workload ")
    assert message in line
    assert not (data / "runs").exists()
