"""The served model: signatures and fusion, export, warmup, embedded server, client."""
