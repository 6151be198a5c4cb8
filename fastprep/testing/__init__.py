"""Phantoms and assertions for the tests of fastprep and of what is built on it."""
