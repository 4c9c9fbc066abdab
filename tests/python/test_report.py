"""``mbmf report``: a page that holds everything, asks for nothing, and says what the run lacks."""

from __future__ import annotations

import base64
import io
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import pytest

import mbmf
from mbmf.cli import main as cli
from mbmf.errors import DataError
from mbmf.runs.manifest import Manifest
from mbmf.runs.run import Run
from mbmf.show import report as report_module
from mbmf.show.plots import new_figure
from mbmf.show.report import write_report
from mbmf.show.video import save_episode_video

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """The elements of a page; fails if they are not nested as they should be."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())

    def all(self, tag: str, attribute: str) -> list[str]:
        return [found[attribute] or "" for name, found in self.elements if name == tag and attribute in found]


@pytest.fixture
def run(small_runs: Path, tmp_path: Path) -> Path:
    """A copy of the small run, in a folder whose name is markup."""
    path = tmp_path / "<b>&amp;" / "run_1"
    shutil.copytree(small_runs / "run_1", path)
    return path


@pytest.fixture
def plain_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures in the place of the plots, which take a second each."""
    for name in ("forward_simulation_figure", "loss_figure", "reward_figure", "plot_learning_curves"):
        monkeypatch.setattr(report_module, name, lambda *args, **options: new_figure(1, 1))


def test_the_page_holds_everything_and_asks_for_nothing(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "videos").mkdir(exist_ok=True)
    (run / "videos/iteration_1.mp4").write_bytes(b"not a film")
    assert cli.main(["report", "--run_num=1", f"--runs_dir={run.parent}"]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(run / "report.html")
    assert printed.err == ""
    page = Page(run / "report.html")
    assert page.all("section", "id") == ["rewards", "losses", "forward-simulation", "videos", "configuration"]
    pictures = page.all("img", "src")
    assert len(pictures) == 3
    for picture in pictures:
        kind, data = picture.split(",")
        assert kind == "data:image/svg+xml;base64"
        assert b"<svg" in base64.b64decode(data)
    assert page.all("video", "src") == [f"data:video/mp4;base64,{base64.b64encode(b'not a film').decode()}"]
    # numbers of the tables are the run's
    for record in Run(run).metrics():
        assert f"{record['reward_mean']:,.1f} ± {record['reward_std']:,.1f}" in page.words
    assert (run / "config.yaml").read_text().strip() in page.words
    # nothing comes from elsewhere
    for attribute in ("src", "href", "srcset", "action", "poster"):
        for tag in {tag for tag, _ in page.elements}:
            for value in page.all(tag, attribute):
                assert value.startswith(("data:", "#")), (tag, attribute, value)
    assert page.all("script", "src") == []
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "@media screen and (prefers-color-scheme: dark)" in text
    assert "@import" not in text
    assert "url(" not in text


@pytest.mark.usefixtures("plain_figures")
def test_text_is_escaped(run: Path) -> None:
    config = run / "config.yaml"
    config.write_text(config.read_text() + "comment: '<script>alert(1)</script>'\n")
    manifest = Manifest(run)
    manifest.record(config)
    manifest.save()
    (run / "summary.json").unlink()
    (run / "imitation").mkdir()
    (run / "imitation/config.yaml").write_text("{algorithm: imitation, task: {name: other}}")
    path, notes = write_report(run)
    assert any("<b>&amp;" in note for note in notes)
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<b>&amp;/" not in text
    page = Page(path)
    assert any("<script>alert(1)</script>" in words for words in page.words)
    assert notes == [words for words in page.words if words in notes]


def test_what_is_missing_is_named(run: Path) -> None:
    (run / "models/iteration_2.safetensors").unlink()
    (run / "summary.json").unlink()
    path, notes = write_report(run)
    assert notes == [
        f"{run}: the run is not finished, 2 iterations are shown",
        f"{run}: validation data or models are missing: not every iteration has its loss on them",
        f"no open-loop prediction: {run / 'models/iteration_2.safetensors'}: the model of iteration 2 must "
        "exist, got 1",
        "there are no videos: mbmf video makes them",
    ]
    page = Page(path)
    assert page.all("section", "id") == ["rewards", "losses", "configuration"]
    assert any(words.startswith("not finished, 2 iterations so far") for words in page.words)


def test_paths_of_the_run(path_runs: Path, tmp_path: Path) -> None:
    path, notes = write_report(path_runs / "run_4", tmp_path / "report.html")
    assert notes == ["there are no videos: mbmf video makes them"]
    page = Page(path)
    assert "paths" in page.all("section", "id")
    tracked = Run(path_runs / "run_4/paths/zigzag").metrics()[0]["tracking"]["rollouts"][1]
    row = page.words.index("zigzag, iteration 1", page.words.index("zigzag, iteration 1") + 1)
    assert f"{tracked['distance_mean']:.3f}" in page.words[row : row + 20]
    assert "straight, iteration 1" in page.words


@pytest.mark.usefixtures("plain_figures")
def test_policies_of_the_run(run: Path) -> None:
    for name, algorithm, points in (
        ("imitation", "imitation", [(500, 3.0), (600, 4.0)]),
        ("mbmf_std1_1", "fine_tuning", [(700, 2.0), (900, 90.5), (1100, 80.0)]),
    ):
        (run / name).mkdir()
        (run / name / "config.yaml").write_text(
            f"{{algorithm: {algorithm}, task: {{name: swimmer_forward}}, settings: {{initial_std: 1.0}}}}"
        )
        lines = [
            json.dumps({"iteration": i, "steps_total": steps, "reward_mean": reward, "reward_std": 0.25})
            for i, (steps, reward) in enumerate(points, start=1)
        ]
        (run / name / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
        (run / name / "summary.json").write_text("{}")
    path, notes = write_report(run)
    assert notes == ["there are no videos: mbmf video makes them"]
    page = Page(path)
    assert "policies" in page.all("section", "id")
    assert len(page.all("img", "src")) == 4
    assert {"imitation", "mbmf_std1_1", "90.5 ± 0.2 (iteration 2)", "80.0 ± 0.2"} <= set(page.words)


@pytest.mark.usefixtures("plain_figures", "rendering")
def test_a_video_shows_its_first_picture(run: Path) -> None:
    episodes = mbmf.Episodes.load(run / "rollouts/iteration_1.npz")
    task = mbmf.load_task("swimmer_forward")
    save_episode_video(task, episodes, 0, run / "videos/a.mp4", width=64, height=48)
    path, _ = write_report(run)
    (poster,) = Page(path).all("video", "poster")
    kind, data = poster.split(",")
    assert kind == "data:image/png;base64"
    picture = matplotlib.image.imread(io.BytesIO(base64.b64decode(data)))
    assert picture.shape[:2] == (48, 64)
    assert picture[..., :3].std() > 0.05


@pytest.mark.usefixtures("plain_figures")
def test_large_videos_are_links(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "_LARGEST_VIDEO", 3)
    (run / "videos/iteration 1.mp4").write_bytes(b"1234")
    path, _ = write_report(run, tmp_path / "out" / "page.html")
    page = Page(path)
    assert page.all("video", "src") == []
    (link,) = [link for link in page.all("a", "href") if not link.startswith("#")]
    assert link == "../%3Cb%3E%26amp%3B/run_1/videos/iteration%201.mp4"


def test_bad_input(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for args, message in (
        (["--run_num=-1"], "--run_num must be at least 0, got -1"),
        (["--run_num=7"], "run_7/config.yaml: run must exist, got none"),
    ):
        assert cli.main(["report", *args, f"--runs_dir={run.parent}"]) == 2
        assert message in capsys.readouterr().err
    (run / "metrics.jsonl").unlink()
    with pytest.raises(DataError, match="run must have a finished iteration, got none yet"):
        write_report(run)
    assert not (run / "report.html").exists()
