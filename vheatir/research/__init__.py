"""Studies of the network: races between designs, pictures of heat, pretraining. Nothing outside imports it."""
