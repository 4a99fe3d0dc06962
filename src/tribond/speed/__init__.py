"""How fast a potential is on this machine, how much memory it takes, and how fast it could be at best."""
