"""The learned dynamics: the model, its normalisation, training and file."""
