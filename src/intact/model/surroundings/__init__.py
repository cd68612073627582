"""What a model runs in: versions, devices, settings, and where its code comes from."""
