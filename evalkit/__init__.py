"""Evaluation of a tuned model beside its base: logs, paired statistics, gate and report."""
