"""YAML of files: what it may cost, and what is said of the rest."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import mbmf
from mbmf import yaml_text
from mbmf.errors import ConfigError, DataError
from mbmf.yaml_text import parse_yaml, write_yaml

# ten lists of ten of the one before: 10^9 words in 400 bytes
LISTS = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)
# the same with mappings that are merged
MERGED = "m0: &m0 {k: x}\n" + "".join(
    f"m{i}: &m{i} {{<<: [{','.join([f'*m{i - 1}'] * 10)}]}}\n" for i in range(1, 10)
)
TASK = "name: t\nmodel: {asset: swimmer.xml}\nstate: [{source: qpos}]\nreward: [{term: action, weight: 1}]\n"
WIDE = f"s: &s [{','.join(['0'] * 20_000)}]\nt: &t {{term: linear, state: *s}}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LISTS + TASK.replace("qpos", "*a9"), "must be YAML whose aliases stand for at most 100000 values"),
        (LISTS[: LISTS.index("a4")] + TASK.replace("action", "*a3"), "reward[0].term must be a term ("),
        (LISTS + TASK + "? *a9\n: 1\n", "must be YAML whose aliases stand for at most 100000 values"),
        (MERGED + TASK, "must be YAML whose aliases stand for at most 100000 values"),
        (WIDE + f"reward: [{','.join(['*t'] * 20_000)}]\n", "must be YAML whose aliases stand for at most"),
        ("- " * 60 + "x", "must be YAML that is nested less deeply, got more than 50 levels, line 1"),
        ("{a: " * 60, "must be YAML that is nested less deeply"),
        ("[" * 100_000, "nest"),
        ("a: 0x" + "f" * 3000, "must be YAML: Exceeds the limit of 1000 characters for a number"),
        (
            "a: " + ":".join(["59"] * 20_000),
            "must be YAML: Exceeds the limit of 1000 characters for a number",
        ),
        ("<<: 5", "must be YAML: expected a mapping or list of mappings for merging"),
    ],
)
def test_what_a_task_file_may_cost(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "task.yaml"
    file.write_text(text)
    begin = time.process_time()
    with pytest.raises(ConfigError) as caught:
        mbmf.load_task(file)
    assert str(caught.value).startswith(str(file))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 20_000
    assert time.process_time() - begin < 10


@pytest.mark.parametrize("value", ["!!timestamp hello", "!!bool maybe", "!!int ''", "!!float ''", "!!int x"])
def test_tags_that_do_not_fit_their_text(tmp_path: Path, value: str) -> None:
    file = tmp_path / "task.yaml"
    file.write_text(f"{TASK}physics_steps: {value}\n")
    with pytest.raises(ConfigError, match=f"{file}.*: must be YAML: ") as caught:
        mbmf.load_task(file)
    if value == "!!bool maybe":
        said = ", line 5, column 16: must be YAML: the tag bool must fit its text, got 'maybe'"
        assert str(caught.value) == f"{file}{said}"


def test_aliases_that_share_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "task.yaml"
    text = TASK.replace("reward: [{", "reward: &terms [&term {") + "cost: *terms\nalive: []\n"
    file.write_text(text + "model_based: &m\n  <<: {}\n".replace("model_based", "overrides"))
    assert mbmf.load_task(file).config.cost == mbmf.load_task(file).config.reward


def test_both_parsers_read_the_same() -> None:
    """libyaml reads large texts; it is one reader all the same."""
    if len(yaml_text._LOADERS) == 1:
        pytest.skip("PyYAML without libyaml")
    for name in ("ant_trajfollow", "hopper_forward"):
        text = mbmf.load_task(name).to_yaml()
        large = text + "# " + "x" * yaml_text._SMALL_TEXT
        assert parse_yaml(text, "file") == parse_yaml(large, "file") == yaml.safe_load(text)
    pad = "\n# " + "x" * yaml_text._SMALL_TEXT
    for text, message in (
        (LISTS, "whose aliases stand for at most"),
        ("[" * 60_000, "nest"),
        ("a: 1\na: 2", "line 2, column 1: must be YAML: the key 'a' is there twice"),
        ("a: 1e-3", None),
        ("a: &x [*x]", "free of references to itself"),
        ("a: !!int x", "must be YAML: "),
        ("a: [1", "must be YAML: "),
    ):
        for padded in (text, text + pad):
            if message is None:
                assert parse_yaml(padded, "file") == {"a": 1e-3}
                continue
            with pytest.raises(DataError, match=message):
                parse_yaml(padded, "file", error=DataError)


def test_a_long_path_is_read_and_written_in_time() -> None:
    points = [[float(i), float(i % 7)] for i in range(20_000)]
    begin = time.process_time()
    assert parse_yaml(write_yaml({"points": points}), "file") == {"points": points}
    if len(yaml_text._LOADERS) > 1:
        assert time.process_time() - begin < 5


# fmt: off
WORDS = [
    "&a ", "*a", "[", "]", "{", "}", ": ", ", ", "- ", "? ", "  ", "<<: ", "!!int ", "!!float ", "!!set ",
    "!!omap ", "!!pairs ", "!!timestamp ", "!!binary ", "!!python/name:os.system ", "1e5", "0x1f", "1:30",
    '"', ">", "---", "...", "%TAG ! x", "\t", "\0", "\ufeff", "2020-02-30", "\n", "|\n",
]
# fmt: on


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=40).map("".join))
def test_any_yaml_is_plain_data_or_an_error(text: str) -> None:
    for whole in (text, text + "\n# " + "x" * yaml_text._SMALL_TEXT):
        with contextlib.suppress(DataError):
            parse_yaml(whole, "file", error=DataError)


@pytest.mark.parametrize(
    "text", ["70103e5799606788", "1e3", "-2e-3", "1_0e5", "12", "1.5", "no", "0x1f", "~"]
)
def test_texts_that_look_like_numbers_stay_texts(text: str) -> None:
    assert parse_yaml(write_yaml({text: [text, {"a": text}]}), "f") == {text: [text, {"a": text}]}


@pytest.mark.parametrize("text", ["010", "-0_7", "1:30", "-1:30", "1:30.5", "[1, {a: 00}]"])
@pytest.mark.parametrize("length", [0, 60_000])
def test_numbers_that_are_others_than_they_look_are_refused(text: str, length: int) -> None:
    """YAML 1.1 takes 010 for 8, and 1:30 for 90."""
    with pytest.raises(
        ConfigError, match=r"line 1, column \d+: must be YAML: a number must be without leadi"
    ):
        parse_yaml(f"{text}{' ' * length}", "f")
    assert parse_yaml(write_yaml([text]), "f") == [text]
    assert parse_yaml(f"[0, 0x1f, 0.5, -0, '{text}', 2020-01-02]", "f")[:5] == [0, 31, 0.5, 0, text]


def test_numbers_stay_numbers() -> None:
    numbers = [1e-3, 1e22, -0.0, 5e-324, 1, 10**20]
    assert parse_yaml(write_yaml(numbers), "f") == numbers
