"""A policy of mbmf goes on learning in Stable-Baselines3. Needs `pip install "mbmf[bench]"`.

`python examples/sb3_handover.py [policy.safetensors] [steps]`: without a file, a half cheetah's new policy.
"""

import sys

from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.evaluation import evaluate_policy

import mbmf
from mbmf.simulation.envs import TaskEnv

policy = mbmf.GaussianPolicy(mbmf.load_task("cheetah_forward"), std=0.5)
if len(sys.argv) > 1:
    policy = mbmf.GaussianPolicy.load(sys.argv[1])
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 4096

task = policy.load_task()
env = TimeLimit(TaskEnv(task), task.episode_steps)
model = policy.to_sb3(env, "PPO", seed=0, device="cpu")
print("before:", evaluate_policy(model, env, n_eval_episodes=1))
model.learn(steps)
print("after:", evaluate_policy(model, env, n_eval_episodes=1))
