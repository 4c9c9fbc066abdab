"""Returns of episodes, from rewards and what the states after them are thought to be worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def traced_returns(rewards: Floats, after: Floats, discount: float, trace: float) -> Floats:
    """Lambda-returns of one episode (Sutton and Barto 2018, section 12.1), float64 (T,).

    R_t = r_t + discount * ((1 - trace) * v_t + trace * R_{t+1}), and R_T = v_{T-1}: the last state is worth
    what is thought of it.

    Args:
        rewards: of each step (T,).
        after: v, what the state after each step is thought to be worth (T,); 0 where the episode ended in a
            terminal state.
        discount: of a step's time, 0 to 1.
        trace: lambda, 0 to 1: 0 looks one step ahead, 1 takes all rewards as they came.
    """
    returns = np.empty(len(rewards))
    following = after[-1] if len(after) else 0.0
    for t in range(len(rewards) - 1, -1, -1):
        following = rewards[t] + discount * ((1 - trace) * after[t] + trace * following)
        returns[t] = following
    return returns
