BETTER = {}
