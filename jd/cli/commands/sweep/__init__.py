"""The commands of "Drive a sweep": they make jobs, wait for them, change them and fetch what came out."""
