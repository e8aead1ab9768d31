"""How models, rewards and policies are judged."""
