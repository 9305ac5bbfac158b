"""What measurements add to the rules: residuals of single kernels, with quantiles, learned on five to seven GPUs."""
