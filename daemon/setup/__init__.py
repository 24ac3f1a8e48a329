"""Setting tiffsd up on a machine: as a service, with the models that lie there already, and what a machine has and lacks for it."""
