"""Networks in training: parameters, minibatches, passes over many inputs."""
