"""A probe package by someone else."""
