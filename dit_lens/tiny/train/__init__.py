"""Train tiny-wan from its seed: autoencoder, latents, two experts, measurements and model card."""
