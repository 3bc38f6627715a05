"""Exact search by Hamming distance, weighted distance and cosine."""
