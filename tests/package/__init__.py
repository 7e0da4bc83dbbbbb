"""Wheel and sdist: made, looked into, installed elsewhere and tried there (`make dist`)."""
