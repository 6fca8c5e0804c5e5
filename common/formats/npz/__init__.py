"""`.npz` files, as DeepProfiler writes them."""
