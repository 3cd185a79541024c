"""Typed clients for REST and gRPC, waiting or asynchronous."""
