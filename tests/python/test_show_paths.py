"""Plots of desired and executed paths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mbmf.show.paths import Followed, plot_paths

WAYPOINTS = np.array([[0.0, 0], [2, 0], [2, 2], [4, 2], [9, 9], [20, 20]])


def panel(title: str = "left", **changes: Any) -> Followed:
    places = np.array([[0.1, 0], [1, 0.1], [2, 0.3], [2.1, 1.5]])
    given = {"places": [places, places + 0.5], "segments": [np.array([0, 0, 1, 2])] * 2, **changes}
    return Followed(title, WAYPOINTS, last_segment=1, dt=0.5, **given)


def labelled(axes: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in axes.lines}


def test_desired_and_executed_paths_from_above() -> None:
    figure = plot_paths([panel(text="0.1 m")])
    (axes,) = figure.axes
    assert axes.get_title() == "left\n0.1 m"
    assert axes.get_aspect() == 1.0
    # as far as a rollout went: the third segment, past the last that counts
    np.testing.assert_array_equal(labelled(axes)["desired path"].get_xydata(), WAYPOINTS[:4])
    for i in (0, 1):
        np.testing.assert_array_equal(labelled(axes)[f"rollout {i}"].get_xydata(), panel().places[i])
    rings = [line.get_xydata() for line in axes.lines if line.get_markerfacecolor() == "white"]
    np.testing.assert_array_equal(rings[0], panel().places[0][2:])
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["desired path", "rollout 0", "rollout 1", "start", "end", "next segment"]


def test_upright_robots_have_time_for_an_axis() -> None:
    figure = plot_paths([panel(), panel("hop", upright=True), panel(), panel()])
    above, upright = figure.axes[:2]
    assert (above.get_xlabel(), upright.get_xlabel()) == ("x [m]", "time [s]")
    line = labelled(upright)["rollout 1"]
    np.testing.assert_array_equal(line.get_xdata(), [0, 0.5, 1, 1.5])
    np.testing.assert_array_equal(line.get_ydata(), panel().places[1][:, 0])
    target = labelled(upright)["waypoint that it makes for"]
    np.testing.assert_array_equal(target.get_ydata(), [2, 2, 2, 4])
    assert [axes.get_visible() for axes in figure.axes] == [True] * 4 + [False] * 2


def test_a_rollout_past_the_last_waypoint() -> None:
    plot_paths([panel(upright=upright, segments=[np.array([3, 4, 5, 6])] * 2) for upright in (False, True)])


def test_no_panel() -> None:
    with pytest.raises(ValueError, match="panels must be one or more, got none"):
        plot_paths([])
