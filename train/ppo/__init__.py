"""Proximal policy optimisation from a reward: rollouts, advantages, the clipped objective, and its own loop."""
