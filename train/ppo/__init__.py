"""Proximal policy optimisation: rollouts, judges, advantages, the clipped losses, and a step made of them."""
