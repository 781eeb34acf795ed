"""Azure: virtual machines as workloads and as Docker engines. Nothing of it is imported until a chain names it."""
