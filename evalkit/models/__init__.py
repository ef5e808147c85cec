"""Language models as lm-eval asks them: ``hf`` (transformers) and ``mock`` (deterministic, for dry runs and tests)."""
