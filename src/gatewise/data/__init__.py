"""Reading text, turning it into token numbers, and laying the numbers out for training."""
