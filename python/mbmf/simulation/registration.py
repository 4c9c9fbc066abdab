"""Gymnasium ids of the presets. Importing this module registers them; nothing is loaded until one is made."""

from __future__ import annotations

from gymnasium.envs.registration import register, registry

# id: (preset, control steps of an episode)
ENVIRONMENTS = {
    "mbmf/Swimmer-v0": ("swimmer_forward", 333),
    "mbmf/HalfCheetah-v0": ("cheetah_forward", 1000),
    "mbmf/Hopper-v0": ("hopper_forward", 1000),
    "mbmf/Ant-v0": ("ant_forward", 1000),
    "mbmf/GymHalfCheetah-v5": ("gym_half_cheetah", 1000),
    "mbmf/GymHopper-v5": ("gym_hopper", 1000),
    "mbmf/GymWalker2d-v5": ("gym_walker2d", 1000),
    "mbmf/GymAnt-v5": ("gym_ant", 1000),
    "mbmf/GymSwimmer-v5": ("gym_swimmer", 1000),
    "mbmf/PetsPusher-v0": ("pets_pusher", 150),
    "mbmf/PetsReacher-v0": ("pets_reacher", 150),
}


def register_environments() -> None:
    """Makes the ids known to `gymnasium.make` and `gymnasium.make_vec`; again and again changes nothing."""
    for name, (preset, steps) in ENVIRONMENTS.items():
        if name not in registry:
            register(
                name,
                entry_point="mbmf.simulation.envs:TaskEnv",
                vector_entry_point="mbmf.simulation.envs:TaskVectorEnv",
                max_episode_steps=steps,
                kwargs={"task": preset},
            )


register_environments()
