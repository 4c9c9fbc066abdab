"""Damaged and hostile files of episodes and tensors: whatever is in them, the answer is an error with their
name, and memory is taken for what is there."""

from __future__ import annotations

import io
import json
import os
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

import mbmf
from mbmf.errors import DataError
from mbmf.json_text import parse_json

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TASK = mbmf.load_task("swimmer_forward")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Whole files of each kind."""
    folder = tmp_path_factory.mktemp("whole")
    episodes = mbmf.collect_random(TASK, 2, 20)
    episodes.save(folder / "npz")
    model = mbmf.DynamicsModel(TASK, hidden=(4,))
    model.fit(episodes, epochs=1, batch_size=8)
    model.save(folder / "model")
    mbmf.GaussianPolicy(TASK, (4,)).save(folder / "policy")
    return {name: (folder / name).read_bytes() for name in ("npz", "model", "policy")}


def load(kind: str, path: Path) -> object:
    if kind == "npz":
        return mbmf.Episodes.load(path)
    return mbmf.DynamicsModel.load(path, TASK) if kind == "model" else mbmf.GaussianPolicy.load(path)


@FUZZ
@given(
    kind=st.sampled_from(["npz", "model", "policy"]),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), max_size=6
    ),
    cut=st.floats(0.01, 1),
    head=st.booleans(),
)
def test_damaged_files_are_read_or_named(
    tmp_path: Path, files: dict[str, bytes], kind: str, changes: list[Any], cut: float, head: bool
) -> None:
    data = bytearray(files[kind])
    # most of what can go wrong is in the header, or at the end where a zip file has its list
    length = 400 if head else len(data)
    for place, content in changes:
        at = int(place * length)
        at = at if kind != "npz" or not head else len(data) - 1 - at
        data[at : at + len(content)] = content
    path = tmp_path / "file"
    path.write_bytes(data[: int(cut * len(data))])
    try:
        load(kind, path)
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def archive(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in entries.items():
            file.writestr(f"{name}.npy", data)


def whole(**changes: bytes) -> dict[str, bytes]:
    """The arrays of a file of episodes, some of them replaced."""
    file = io.BytesIO()
    episodes = mbmf.collect_random(TASK, 1, 2)
    np.savez(
        file,
        format=np.array("mbmf-episodes-2"),
        task=np.array("t"),
        **{name: array for name, array in episodes._arrays().items() if array is not None},
    )
    with zipfile.ZipFile(file) as old:
        return {name.removesuffix(".npy"): old.read(name) for name in old.namelist()} | changes


FAR = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("states", npy(FAR), r"states of \(1000000, 1000000\) float64 in 0 bytes"),
        ("states", npy(FAR.replace("1000000,", "-1,")), "states|shape"),
        ("states", npy(FAR.replace("<f8", "|O")), "an array of object"),
        ("states", npy(FAR.replace("'<f8'", "[('a', '<f8')]")), "an array of"),
        ("states", npy("(" * 5000), "."),
        ("states", npy("{" * 9000), "."),
        ("states", npy("'" + "x" * 20_000), "."),
        ("states", b"\x93NUMPY\x03\x00" + b"\x00" * 8, r"arrays of version \(3, 0\)"),
        ("states", b"", "."),
        (
            "task",
            npy("{'descr': '<U2000', 'fortran_order': False, 'shape': (), }", b"\0" * 8000),
            "text of 8000",
        ),
        (
            "task",
            npy("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", b"\0" * 8),
            "in place of a text",
        ),
        ("task", npy("{'descr': '<U1', 'fortran_order': False, 'shape': (), }", b"\xff" * 4), "."),
    ],
)
def test_arrays_that_lie(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / "episodes.npz"
    archive(path, whole(**{name: data}))
    with pytest.raises(DataError, match=rf"{path}: must be a whole file of Episodes.save, got .*{message}"):
        mbmf.Episodes.load(path)


def test_what_is_small_and_unpacks_to_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    header = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 12500000, 1), }")
    archive(path, whole(states=header + b"\0" * 100_000_000), zipfile.ZIP_DEFLATED)
    assert os.path.getsize(path) < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"bomb\.npz: must be a whole file .* bytes that unpack to 1000"):
            mbmf.Episodes.load(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    # an archive that says less than it holds
    size = (len(header) + 100_000_000).to_bytes(4, "little")
    lying = path.read_bytes().replace(size, (1000).to_bytes(4, "little"))
    path.write_bytes(lying)
    with pytest.raises(DataError, match=r"bomb\.npz"):
        mbmf.Episodes.load(path)
    # and a compressed file that is as large as its numbers is fine
    arrays = dict(np.load(io.BytesIO(_saved(tmp_path))))
    np.savez_compressed(tmp_path / "packed.npz", **arrays)
    assert len(mbmf.Episodes.load(tmp_path / "packed.npz")) == 2


def _saved(folder: Path) -> bytes:
    mbmf.collect_random(TASK, 2, 3).save(folder / "x.npz")
    return (folder / "x.npz").read_bytes()


def test_odd_archives(tmp_path: Path) -> None:
    path = tmp_path / "odd.npz"
    cases: dict[str, bytes] = {}
    archive(path, {"a": b"", "b": b""})
    path.write_bytes(path.read_bytes().replace(b"b.npy", b"a.npy"))
    cases["two arrays of one name"] = path.read_bytes()
    archive(path, {str(i): b"" for i in range(100)})
    cases["more than 64 arrays"] = path.read_bytes()
    archive(path, whole())
    good = path.read_bytes()
    cases["."] = good.replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00\x00\x00"
    )
    for message, data in cases.items():
        path.write_bytes(data)
        with pytest.raises(
            DataError, match=rf"odd\.npz: must be a whole file of Episodes.save, got .*{message}"
        ):
            mbmf.Episodes.load(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"must be a file of Episodes.save, got a single array"):
        mbmf.Episodes.load(tmp_path / "one.npy")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe: must be a file of Episodes.save, got no regular file"):
        mbmf.Episodes.load(tmp_path / "pipe")


def rewrite(path: Path, change: Any, tensors: dict[str, Any] | None = None) -> None:
    """The file with another text for a header, made of the old one."""
    with safe_open(path, framework="numpy") as file:
        text = file.metadata()["mbmf"]
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    save_file(arrays | (tensors or {}), path, {"mbmf": change(text)})


def with_entry(name: str, value: str) -> Any:
    return lambda text: json.dumps(json.loads(text) | {name: "VALUE"}).replace('"VALUE"', value)


@pytest.mark.parametrize("kind", ["model", "policy"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "[" * 100_000, "header must be JSON that is nested less deeply"),
        (lambda text: '{"a":' * 100_000, "header must be JSON that is nested less deeply"),
        (
            with_entry("hidden", "[" + "9" * 5000 + "]"),
            "header must be readable JSON, got: Exceeds the limit",
        ),
        (with_entry("hidden", "[" + "9" * 4000 + "]"), "hidden .*must be"),
        (with_entry("hidden", "[" + "1," * 100_000 + "1]"), "hidden .*must be"),
        (with_entry("naction", str(2**70)), "naction must be at most"),
        (with_entry("naction", "1e400"), "naction must be of type int, got inf"),
        (with_entry("task", '"../x"'), "task must be a plain file name"),
        (with_entry("format_version", "true"), "format_version must be of type int, got True"),
        (lambda text: "", "header must be readable JSON"),
        (lambda text: "[]", "got another kind of safetensors file"),
    ],
)
def test_headers_that_lie(
    tmp_path: Path, files: dict[str, bytes], kind: str, change: Any, message: str
) -> None:
    path = tmp_path / f"{kind}.safetensors"
    path.write_bytes(files[kind])
    rewrite(path, change)
    with pytest.raises(DataError, match=rf"{path}: .*{message}") as caught:
        load(kind, path)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "got: 8 bytes"),
        (b"{}" + b" " * 6, "got another kind of safetensors file"),
        (b'{"a":1}', "tensor 'a' with the entry 1"),
        (b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', "tensor 'a' with the entry"),
        (b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', "tensors that do not follow each other"),
        (b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', "tensors of 4 bytes in 0"),
        (b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', "tensor 'a' with the entry"),
        (b'{"a":{"dtype":"F32","shape":[1e9],"data_offsets":[0,4]}}', "tensor 'a' with the entry"),
        (b'{"a":{"dtype":"BF16","shape":[0],"data_offsets":[0,0]}}', "tensor 'a' with the entry"),
        (b'{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,399999999996]}}', "bytes in 0"),
        (b"[" * 100_000, "its header must be JSON that is nested less deeply"),
        (b"\xff\xfe", "its header must be UTF-8 text, got a wrong byte at 0"),
    ],
)
def test_tensor_files_that_lie(tmp_path: Path, header: bytes, message: str) -> None:
    path = tmp_path / "policy.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(DataError, match=rf"{path}: .*{message}"):
        mbmf.GaussianPolicy.load(path)
    path.write_bytes((2**62).to_bytes(8, "little") + header)
    with pytest.raises(DataError, match=rf"{path}: policy file must be a whole safetensors file, got"):
        mbmf.GaussianPolicy.load(path)


def test_numbers_that_overflow_where_they_are_folded(tmp_path: Path, files: dict[str, bytes]) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(files["model"])
    rewrite(path, lambda text: text, {"state.std": np.full(TASK.nstate, 1e-300)})
    with pytest.raises(DataError, match=rf"{path}: "):
        mbmf.DynamicsModel.load(path, TASK)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LISTS := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n", "its task must be|name must be given"),
        ("- 1", r"its task must be a mapping, got \[1\]"),
        ("a: !!bool maybe", "must be YAML"),
        ("[" * 500, "its task: must be YAML that is nested less deeply"),
        (
            LISTS + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)),
            "aliases",
        ),
    ],
)
def test_the_task_in_a_policy(tmp_path: Path, files: dict[str, bytes], text: str, message: str) -> None:
    path = tmp_path / "policy.safetensors"
    path.write_bytes(files["policy"])
    rewrite(path, with_entry("task_config", json.dumps(text)))
    policy = mbmf.GaussianPolicy.load(path)
    with pytest.raises(ValueError, match=message):
        policy.load_task()


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.binary(max_size=40))
def test_any_json_is_a_value_or_an_error(text: str | bytes) -> None:
    try:
        parse_json(text, "file: header")
    except DataError as error:
        assert str(error).startswith("file: header must be ")  # noqa: PT017
