"""How the command of a training is started: in several processes here, or through SLURM."""
