"""What the end-to-end stories share: a daemon to start, a raw HTTP client, an independent chain, a model, a phone, a bad network."""
