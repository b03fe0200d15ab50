"""clinstack: adapts a language model to clinical notes in two parameter-efficient steps, and proves that both are at work."""
