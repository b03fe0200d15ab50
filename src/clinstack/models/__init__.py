"""Notes' tokens -> logits: backbone, adapters in a stack, pooling, head."""
