"""The models of value: how often, how long and for how much each customer will go on buying."""
