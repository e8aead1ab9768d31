"""Losses and updates of critic, actor, reward and behaviour policy."""
