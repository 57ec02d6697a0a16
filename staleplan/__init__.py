"""What no single service owns: runtime, world, drills, simulation, command line."""
