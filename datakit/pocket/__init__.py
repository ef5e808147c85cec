"""A miniature world, language model and suite: everything runs offline with it."""
