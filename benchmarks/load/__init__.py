"""How much mixed traffic an instance with a whole release's dictionary serves, and for how long."""
