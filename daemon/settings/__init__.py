"""What people may say: the vocabulary of settings, prompts, config.yaml, and whose configuration is obeyed."""
