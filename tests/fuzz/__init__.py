"""The net: inputs mutated at random and random networks, run through the commands, and what may not come of it.

`kinds.py` makes inputs from a seed and a number, `judge.py` runs one and says what is wrong with the outcome, and
`campaign.py` runs many in processes that are watched for crashes, hangs and memory.
"""
