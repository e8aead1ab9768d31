"""The dataset format, features that follow by rule, device arrays, and buffers."""
