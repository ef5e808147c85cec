"""Dawid and Skene's model: every voter has a confusion matrix, every example a class; both are estimated from votes.

A. P. Dawid, A. M. Skene: Maximum likelihood estimation of observer error-rates using the EM algorithm. Applied
Statistics 28 (1979), 20-28.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["DawidSkene", "dawid_skene"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DawidSkene:
    """What the model estimates.

    Attributes:
        posterior: Probability of each class for each example, shape (examples, classes).
        prior: Of the classes, shape (classes,).
        errors: ``errors[v, k, l]`` is the chance that voter v says l where k is true.
        iterations: Until the log-likelihood stood still.
    """

    posterior: Floats
    prior: Floats
    errors: Floats
    iterations: int


def dawid_skene(
    counts: npt.NDArray[np.int64], *, iterations: int = 200, tolerance: float = 1e-6, smoothing: float = 0.0
) -> DawidSkene:
    """Fits by expectation and maximisation, begun from the votes' shares.

    Args:
        counts: ``counts[v, i, l]``: how often voter v said class l about example i; all zero where it said nothing.
        iterations: At most.
        tolerance: Of the log-likelihood per example.
        smoothing: Added to every count of a confusion matrix, so that a voter with few votes is never certain.

    Returns:
        Examples without votes get the prior.
    """
    votes = counts.astype(np.float64)
    total = votes.sum(axis=0)
    said = total.sum(axis=1, keepdims=True)
    classes = total.shape[1]
    posterior = np.where(said > 0, total / np.maximum(said, 1), 1 / classes)
    heard = said[:, 0] > 0
    before, step = -np.inf, 0
    prior, errors = _maximise(votes, posterior, heard, smoothing)
    while step < iterations:
        step += 1
        log_joint = np.log(np.maximum(prior, 1e-300)) + np.einsum(
            "vil,vkl->ik", votes, np.log(np.maximum(errors, 1e-10))
        )
        top = log_joint.max(axis=1, keepdims=True)
        evidence = top[:, 0] + np.log(np.exp(log_joint - top).sum(axis=1))
        posterior = np.exp(log_joint - evidence[:, None])
        prior, errors = _maximise(votes, posterior, heard, smoothing)
        likelihood = float(evidence[heard].mean()) if heard.any() else 0.0
        if likelihood - before < tolerance:
            break
        before = likelihood
    return DawidSkene(posterior, prior, errors, step)


def _maximise(
    votes: Floats, posterior: Floats, heard: npt.NDArray[np.bool_], smoothing: float
) -> tuple[Floats, Floats]:
    known = posterior[heard]
    prior = known.mean(axis=0) if len(known) else np.full(posterior.shape[1], 1 / posterior.shape[1])
    errors = np.einsum("vil,ik->vkl", votes, posterior) + smoothing
    rows = errors.sum(axis=2, keepdims=True)
    # A class that no example is thought to have says nothing of the voter: every answer alike.
    return prior, np.where(rows > 0, errors / np.where(rows > 0, rows, 1), 1 / errors.shape[2])
