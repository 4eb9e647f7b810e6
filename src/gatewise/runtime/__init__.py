"""Load and step a model without torch: the one place where a trained model's numbers are computed."""
