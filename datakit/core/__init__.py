"""What every room stands on: records, storage, registry, errors, hashing.

Standard library, pyarrow and pydantic only (ruamel.yaml inside the one function that reads YAML).
"""
