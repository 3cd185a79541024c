"""The fused score's weights, searched by an evolution strategy: no training."""
