"""The model and every decision, pure: values in, values out, the clock an argument."""
