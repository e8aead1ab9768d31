"""The page of the study of worse data: costs by condition, worth of the reward."""
